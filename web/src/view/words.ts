// Which words does the page say? One table: of each, English and Chinese.

/** Words by their keys: [English, 中文], with {0}, {1}, ... for values. */
export type Table = Record<string, readonly [string, string]>;

export const WORDS = {
  language: ["中文", "English"],
  theme: ["Dark or light", "深色或浅色"],
  samples: ["Sampling", "采样"],
  forward: ["Forward", "前向加噪"],
  none: ["Points", "只看点"],
  score: ["Score", "分数"],
  velocity: ["Velocity", "速度"],
  scoreTitle: [
    "σ times the gradient of log q(x_t): where the density of noisy points rises",
    "σ 乘以 log q(x_t) 的梯度：带噪点的密度向哪里升高",
  ],
  density: ["Density", "密度"],
  densityTitle: [
    "Lines around 25, 50, 75 and 95% of the points at this level",
    "包住此噪声水平 25%、50%、75%、95% 的点的等密度线",
  ],
  velocityTitle: ["How points move in this picture on the way to data", "去噪途中，点在图中如何移动"],
  learned: ["Network", "网络"],
  exact: ["Exact", "精确"],
  difference: ["Difference", "差异"],
  what: ["What is drawn", "画什么"],
  field: ["Field", "向量场"],
  answeredBy: ["Answered by", "由谁回答"],
  play: ["Play", "播放"],
  pause: ["Pause", "暂停"],
  before: ["One level back", "后退一级"],
  next: ["One level on", "前进一级"],
  slow: ["Slow motion", "慢动作"],
  time: ["Noise to data", "从噪声到数据"],
  noise: ["noise", "噪声"],
  data: ["data", "数据"],
  levelIs: ["σ/α = {0}", "σ/α = {0}"],
  stepOf: ["level {0} of {1}", "第 {0} 级，共 {1} 级"],
  history: ["Training step", "训练步"],
  historyNow: ["step {0}", "第 {0} 步"],
  real: ["Real points", "真实点"],
  stageName: [
    "{0}: {1} points at noise level σ/α = {2}, level {3} of {4}.",
    "{0}：{1} 个点，噪声水平 σ/α = {2}，第 {3} 级，共 {4} 级。",
  ],
  stageHelp: [
    "Click, or move with the arrow keys, to ask about one point.",
    "点击图中任意处，或用方向键移动，查看一个点。",
  ],
  sentenceWalk: [
    "{0} samples drawn here, from noise to data. Drag the ruler.",
    "此处现采的 {0} 个样本，从噪声走到数据。拖动标尺试试。",
  ],
  sentenceForward: ["{0} real points, each on its way to noise.", "{0} 个真实点，正逐渐变成噪声。"],
  sentenceScore: [
    "The score at this level: which way the density of noisy points rises.",
    "此噪声水平的分数：带噪点的密度向哪个方向升高。",
  ],
  sentenceVelocity: [
    "The velocity at this level: how points move on the way to data.",
    "此噪声水平的速度：点在走向数据时如何移动。",
  ],
  sentenceDensity: [
    "Around 25, 50, 75 and 95% of the points at this level: of samples, or of the exact law, smoothed alike.",
    "等密度线包住此噪声水平 25%、50%、75%、95% 的点：样本的或精确分布的，平滑程度相同。",
  ],
  sentenceDensities: [
    "Solid lines: samples. Dashed lines: the exact law. Brighter: where one has more points than the other.",
    "实线：样本；虚线：精确分布。越亮处两者相差越多。",
  ],
  sentenceDifference: [
    "Where the network is wrong at this level: brighter is worse, arrows are its error.",
    "网络在此噪声水平错在哪里：越亮错得越多，箭头是它的误差。",
  ],
  quality: ["How good are the samples?", "样本有多好？"],
  timesFloor: ["× floor", "× 底线"],
  interval: ["{0} to {1}", "{0} 至 {1}"],
  fromPython: ["measured in Python, 10,000 points a draw", "由 Python 测得，每次 10,000 个点"],
  fromHere: ["here in the page: {0} × floor ({1} to {2})", "本页测得：{0} × 底线（{1} 至 {2}）"],
  fromTraining: ["while it trains, {0} points", "训练进行中，{0} 个点"],
  fromPythonNow: ["in Python, now: {0} × floor ({1} to {2})", "Python 现测：{0} × 底线（{1} 至 {2}）"],
  measuring: ["measuring …", "正在测量……"],
  starting: ["The studio starts …", "Studio 正在启动……"],
  loadingPython: [
    "This page trains by itself while Python is being loaded; then Python takes over.",
    "Python 载入期间，由本页自行训练；随后由 Python 接手。",
  ],
  pythonIsThere: ["Python is there: go on with it", "Python 已就绪：转到 Python 继续"],
  noEntry: [
    "The studio did not let this page in. The address that it printed opens one browser; for another one start it again.",
    "Studio 没有让本页进入。它打印出的地址只供一个浏览器打开一次；要在别处打开，请重新启动它。",
  ],
  engineRemote: [
    "All numbers are computed in Python by the studio on this machine ({0} weights).",
    "所有数字都由本机上的 studio 用 Python 计算（{0} 个权重）。",
  ],
  floorWhat: [
    "1 is perfect: as far from the data as fresh data is. Show two real clouds.",
    "1 为完美：与数据的距离等于两批真实数据之间的距离。看两批真实数据。",
  ],
  floorHide: ["Back to the samples", "回到样本"],
  floorSentence: [
    "Two clouds of real points. Their distance is the floor: 1.",
    "两批真实数据点。它们之间的距离就是底线：1。",
  ],
  notMeasured: ["not measured", "未测量"],
  exactQuality: ["The exact denoiser with this sampler: {0} × floor.", "精确去噪器配此采样器：{0} × 底线。"],
  loss: ["Loss", "损失"],
  lossOf: ["loss of the run", "此次训练的损失"],
  lossHere: ["loss in this page", "本页训练的损失"],
  lossFloor: ["irreducible: the exact denoiser on the same batches", "不可约：精确去噪器在相同批次上的损失"],
  lossSentence: ["{0}. No network can get below {1}.", "{0}。任何网络都不能低于 {1}。"],
  lossUnknown: [
    "The law of this data is unknown, and so is the least loss.",
    "这些数据的分布未知，最小损失也就未知。",
  ],
  train: ["Train again, here", "在本页重新训练"],
  trainSeed: ["Seed", "种子"],
  trainSteps: ["Steps", "步数"],
  trainWidth: ["Width", "宽度"],
  trainRate: ["Learning rate", "学习率"],
  trainBatch: ["Batch", "批大小"],
  trainSettings: ["Settings", "设置"],
  trainSize: ["Training points", "训练点数"],
  heart: [
    "{0}% of samples lie nearer to a training point than half of all fresh points: 50% is right, 100% is learned by heart.",
    "{0}% 的样本比半数新数据点更靠近某个训练点：50% 正常，100% 就是背下来了。",
  ],
  python: ["The same in Python", "同样的训练，用 Python"],
  stop: ["Stop", "停止"],
  training: ["step {0} of {1}, {2} s", "第 {0} 步，共 {1} 步，{2} 秒"],
  trained: [
    "{0} steps in {1} s on this device. Drag the training step below the picture.",
    "本机用 {1} 秒训练了 {0} 步。拖动图下方的训练步。",
  ],
  trainedStopped: ["Stopped after {0} steps.", "训练 {0} 步后停止。"],
  levels: ["Error by noise level", "各噪声水平的误差"],
  levelsSentence: [
    "How far the network's answer is from the exact one, in deviations of the data. Worst at σ/α = {0}: go there.",
    "网络的回答与精确答案的距离，以数据的标准差为单位。最差处 σ/α = {0}：去看看。",
  ],
  draw: ["Draw data", "画数据"],
  drawHint: [
    "Draw with mouse or finger; a click is a Gaussian. The brush is a law: it has an exact denoiser, fresh points and a floor.",
    "用鼠标或手指在图中画；点一下是一个高斯。画笔就是分布：你画的东西有精确去噪器、新样本和底线。",
  ],
  drawInk: ["Width of the ink", "墨迹宽度"],
  drawUndo: ["Undo", "撤销"],
  drawDone: ["Train on it", "用它训练"],
  drawBack: ["Back", "返回"],
  drawAdd: ["Add a Gaussian", "添加一个高斯"],
  drawnName: ["drawn", "手绘"],
  atX: ["x", "x"],
  atY: ["y", "y"],
  sets: ["or a built-in set", "或内置数据集"],
  choose: ["choose …", "选择……"],
  point: ["One point", "一个点"],
  pointHint: [
    "Click anywhere in the picture: what would a denoiser answer there?",
    "点击图中任意处：去噪器在那里会怎样回答？",
  ],
  pointSentence: [
    "At σ/α = {0} the exact answer E[x₀|x_t] is ({1}, {2}); the network says ({3}, {4}), {5} away.",
    "在 σ/α = {0} 处，精确答案 E[x₀|x_t] 是（{1}，{2}）；网络回答（{3}，{4}），相差 {5}。",
  ],
  pointEnds: [
    "From here the network walks to ({0}, {1}), the exact denoiser to ({2}, {3}).",
    "从这里出发，网络走到（{0}，{1}），精确去噪器走到（{2}，{3}）。",
  ],
  pointClear: ["Clear", "清除"],
  pathLearned: ["path under the network", "网络给出的路径"],
  pathExact: ["path under the exact denoiser", "精确去噪器给出的路径"],
  posterior: ["posterior p(x₀|x_t) and its mean", "后验 p(x₀|x_t) 及其均值"],
  sampler: ["Sampler", "采样器"],
  samplerSteps: ["Steps", "步数"],
  points: ["Points", "点数"],
  drawn: ["{0} evaluations in {1} s ({2} million a second)", "{0} 次网络求值，用时 {1} 秒（每秒 {2} 百万次）"],
  newNoise: ["New noise", "换一批噪声"],
  race: ["A race of samplers", "采样器赛跑"],
  raceHint: ["Evaluations against × floor, for 4 to 32 steps.", "网络求值次数与 × 底线，步数从 4 到 32。"],
  raceStart: ["Start", "开始"],
  raceWon: [
    "Within a tenth of the best with the fewest evaluations: {0}, {1}, at {2} × floor.",
    "与最好成绩相差不到一成、求值最少：{0}，{1} 次，{2} × 底线。",
  ],
  engine: [
    "All that moves is computed by this page itself, in {0} ({1} weights); no data leaves it.",
    "所有动态内容都由本页用 {0} 自行计算（{1} 个权重）；数据不会离开本页。",
  ],
  engineWasm: ["WebAssembly", "WebAssembly"],
  enginePlain: ["plain JavaScript", "普通 JavaScript"],
  unknownLaw: [
    "The law of this data is unknown: “exact” is the perfect denoiser of the training points.",
    "这些数据的分布未知：“精确”指训练点本身的完美去噪器。",
  ],
  noMixture: [
    "Trained again in this page, the network learns the posterior means of its batch, not those of a fitted mixture.",
    "在本页重新训练时，网络学的是一批点的后验均值，而不是所拟合的混合高斯的后验均值。",
  ],
  unsupported: [
    "This run samples with {0}, which this page does not have; it uses {1}.",
    "此次运行用 {0} 采样，本页没有它，改用 {1}。",
  ],
  failed: ["This did not work: {0}", "未能完成：{0}"],
  keys: ["Keys", "按键"],
  keysText: [
    "Space: play · ← →: one level · Shift + ← →: training step · Home, End: noise, data · 1 2 3 4: field · L: language",
    "空格：播放 · ← →：一级 · Shift + ← →：训练步 · Home、End：噪声、数据 · 1 2 3 4：向量场 · L：语言",
  ],
  noGl: ["Drawn without WebGL.", "未使用 WebGL 绘制。"],
  budget: ["What costs what?", "误差从哪里来？"],
  budgetHint: [
    "Exchange a part for an exact one, and see what it costs, in multiples of the floor.",
    "把一个环节换成精确的，看它占多少误差（以底线为单位）。",
  ],
  budgetMost: ["Most is lost by this part: {0} (+{1} × floor).", "损失最多的环节：{0}（+{1} × 底线）。"],
  budgetNone: [
    "No part costs more than a tenth of the floor, or than chance: thin lines are 95% intervals.",
    "没有哪个环节的代价超过底线的十分之一或超出偶然：细线是 95% 区间。",
  ],
  partInterval: ["{0} × floor, 95% interval {1} to {2}", "{0} × 底线，95% 区间 {1} 到 {2}"],
  keptWithin: ["{0} to {1} can be had", "可取 {0} 到 {1}"],
  partFloor: ["real points", "真实数据"],
  partSteps: ["sampling steps", "采样步"],
  partStart: ["start", "起点"],
  partSet: ["training set", "训练集"],
  partNetwork: ["network", "网络"],
  partTotal: ["samples", "样本"],
  yours: ["Yours", "当前"],
  fromSwitched: ["measured here, with the parts below exchanged", "本页测得，下方环节已替换"],
  schedule: ["Schedule", "噪声调度"],
  scheduleHint: [
    "Drag the handles, or choose: the picture shows real points with this noise at once.",
    "拖动圆点或另选一种：图中立即显示加上这种噪声的真实点。",
  ],
  scheduleUse: ["Train with it", "用它训练"],
  scheduleBack: ["As it was", "恢复原样"],
  signalIs: ["signal α", "信号 α"],
  noiseIs: ["noise σ", "噪声 σ"],
  terminalSnr: ["Terminal SNR α²/σ² = {0}, for data of deviation 1.", "末端信噪比 α²/σ² = {0}（数据标准差为 1 时）。"],
  terminalOwn: ["This data has deviation {0}: {1}.", "此数据的标准差为 {0}：{1}。"],
  trainEma: ["Average (EMA)", "权重平均 (EMA)"],
  trainDistance: ["Distance", "损失的距离"],
  adjusted: ["Used from the next step on.", "从下一步起生效。"],
  needsStart: ["Seed, points, steps and width need a new start:", "种子、训练点数、步数和宽度需要重新开始："],
  startAnew: ["Start anew", "重新开始"],
  classes: ["Classes", "类别"],
  classesHint: [
    "Samples of one colour. Guidance above 1 makes them more typical and less diverse.",
    "只采一种颜色的样本。引导强度大于 1 时，样本更典型、更少变化。",
  ],
  ofClass: ["Samples of", "采样类别"],
  classAll: ["All", "全部"],
  classFirst: ["Blue", "蓝"],
  classSecond: ["Amber", "橙"],
  guidance: ["Guidance", "引导强度"],
  drawText: ["Text as a shape", "文字的形状"],
  drawTextDo: ["Add", "添加"],
  drawFile: ["A picture's outline, or points (CSV): choose, drop or paste", "图片的轮廓，或点的表格 (CSV)：选择、拖入或粘贴"],
  drawNothing: ["Nothing in it can be read as points or as a picture.", "其中没有可读的点或图片。"],
  pasted: ["pasted", "粘贴的点"],
  drawColour: ["Colour: a class of its own", "颜色：各为一类"],
  finding: ["What is wrong?", "问题出在哪里？"],
  foundNothing: ["Nothing that one change would mend: no part costs 0.3 × floor for certain.", "没有一处值得修正：没有哪个环节确定多花 0.3 × 底线。"],
  foundStart: [
    "Sampling does not start where training ended ({0} × floor): training saw noise up to σ = {1}, and sampling starts with {2}.",
    "采样的起点不是训练的终点（{0} × 底线）：训练见过的噪声最多 σ = {1}，采样却从 {2} 开始。",
  ],
  foundScale: [
    "The data is not scaled: its deviation is {1}, and the schedule is made for 1. The network loses {0} × floor.",
    "数据没有缩放：标准差为 {1}，而噪声调度是为 1 设计的。网络损失 {0} × 底线。",
  ],
  foundDecay: [
    "The network's answers are off ({0} × floor), and its learning rate never falls.",
    "网络的回答有偏差（{0} × 底线），而学习率从不下降。",
  ],
  foundShort: ["The network's answers are off ({0} × floor).", "网络的回答有偏差（{0} × 底线）。"],
  foundSet: ["The training set is too small ({0} × floor).", "训练集太小（{0} × 底线）。"],
  foundSteps: ["The sampler takes too few steps ({0} × floor).", "采样步数太少（{0} × 底线）。"],
  mendSchedule: ["More noise at the end:", "让末端噪声更大："],
  mendScale: ["Bring the data to deviation 1:", "把数据标准化："],
  mendDecay: ["Let the learning rate fall to 0:", "让学习率降到 0："],
  mendLonger: ["Train for longer:", "训练更久："],
  mendSet: ["More training points:", "增加训练点："],
  mendSteps: ["More steps:", "增加步数："],
  mend: ["Mend it", "修正它"],
  mendHere: ["Train it here, in minutes", "在这里训练（数分钟）"],
  tutorial: ["Load the tutorial's recipe", "载入教程的配方"],
  recorded: ["recorded: {0} steps, trained beforehand and measured in Python", "录制的训练：事先训练 {0} 步，由 Python 测得"],
  take: ["Take it along", "带走"],
  saveFile: ["Save as one file", "存为一个文件"],
  copyLink: ["Copy link", "复制链接"],
  copyPython: ["Copy Python", "复制 Python"],
  keepRun: ["Keep the run", "保留此次训练"],
  copied: ["Copied.", "已复制。"],
  savedAs: ["Saved as {0}.", "已存为 {0}。"],
  keptAt: ["Kept in {0}.", "已保存到 {0}。"],
  acrossColumn: ["Across", "横轴"],
  upColumn: ["Up", "纵轴"],
  sentenceRows: ["{0} sampled rows by {1} and {2}.", "{0} 行采样数据，按 {1} 与 {2} 画出。"],
  besideReal: ["In blue {0} real ones.", "蓝色为 {0} 行真实数据。"],
  associationIs: ["Association (0: none, ±1: closest): {0} in real rows, {1} in the samples.", "关联（0 为无关，±1 为最强）：真实数据 {0}，样本 {1}。"],
  outsideRows: ["{0} are outside of the picture, or have no value yet.", "{0} 行在图外，或还没有值。"],
  missingValue: ["missing", "缺失"],
  realImages: ["Real images", "真实图像"],
  sentenceImages: ["{0} images on their way from noise. Drag the ruler.", "{0} 张图像，从噪声走到数据。拖动标尺试试。"],
  sentenceRealImages: ["Images of the training data.", "训练数据中的图像。"],
  oneImage: ["One image from noise to data", "一张图像，从噪声到数据"],
  oneSample: ["One sample", "一个样本"],
  oneSampleHint: ["Click one in the picture, or choose it with the arrow keys.", "点击图中的一个样本，或用方向键选择。"],
  seenStates: ["Noisy", "带噪"],
  seenEstimates: ["Denoised", "去噪估计"],
  conditionCard: ["Condition", "条件"],
  anyValue: ["any", "任意"],
  moreColumns: ["More columns", "更多列"],
  qualityOfRun: ["distance of samples from real data, over that of real data; measured after the training", "样本到真实数据的距离，除以真实数据之间的距离；训练结束后测得"],
  recordedWalk: [
    "A recording: this page has one walk of the run, whose network has {0} weights. diffuscope studio RUN draws new samples.",
    "这是一段录制：本页只含此次训练的一次采样（网络有 {0} 个权重）。diffuscope studio RUN 可采新样本。",
  ],
  sampledBy: ["{0}, {1} steps, seed {2}", "{0}，{1} 步，种子 {2}"],
  inSeconds: ["{0} s", "{0} 秒"],
  keysOfRun: ["Space: play · ← →: one level · Home, End: noise, data · L: language", "空格：播放 · ← →：一级 · Home、End：噪声、数据 · L：语言"],
  noCall: ["No call gives this run: its settings were changed while it trained, or its data has no name.", "没有一条调用能得到此次训练：训练途中改过设置，或数据没有名字。"],
} satisfies Table;

export type Word = keyof typeof WORDS;
export type Language = "en" | "zh";
export const LANGUAGES: readonly Language[] = ["en", "zh"];

/** A sentence in a language, with values in the places {0}, {1}, ... */
export const inWords = (word: Word, language: Language, ...values: (string | number)[]): string =>
  WORDS[word][LANGUAGES.indexOf(language)]!.replace(/\{(\d)\}/g, (_, i: string) => String(values[Number(i)] ?? ""));

/** Says words in the language of the page, and says them again when that changes. */
export class Speaker {
  private readonly again: (() => void)[] = [];

  constructor(private chosen: Language) {
    this.language = chosen;
  }

  get language(): Language {
    return this.chosen;
  }

  set language(language: Language) {
    this.chosen = language;
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    for (const say of this.again) say();
  }

  /** A sentence, with values in the places {0}, {1}, ... */
  say(word: Word, ...values: (string | number)[]): string {
    return inWords(word, this.chosen, ...values);
  }

  /** Do something now and whenever the language changes. */
  whenever(work: () => void): void {
    this.again.push(work);
    work();
  }

  /** A piece of text that follows the language. */
  text(word: Word): Text {
    const node = document.createTextNode("");
    this.whenever(() => (node.data = this.say(word)));
    return node;
  }
}
