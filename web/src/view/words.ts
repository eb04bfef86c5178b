// Which words does the page say? One dictionary; both languages have the same keys, or it does not compile.

const en = {
  language: "中文",
  languageTitle: "中文版",
  theme: "Dark or light",
  samples: "Sampling",
  forward: "Forward",
  walkTitle: "From noise to data, by the network or the exact denoiser",
  forwardTitle: "Real points on their way to noise",
  none: "Points",
  score: "Score",
  velocity: "Velocity",
  scoreTitle: "σ times the gradient of log q(x_t): where the density of noisy points rises",
  velocityTitle: "How points move in this picture on the way to data",
  learned: "Network",
  exact: "Exact",
  difference: "Difference",
  what: "What is drawn",
  field: "Field",
  answeredBy: "Answered by",
  play: "Play",
  pause: "Pause",
  before: "One level back",
  next: "One level on",
  slow: "Slow motion",
  time: "Noise to data",
  noise: "noise",
  data: "data",
  levelIs: "σ/α = {0}",
  stepOf: "level {0} of {1}",
  history: "Training step",
  historyNow: "step {0}",
  real: "Real points",
  stageName: "{0}: {1} points at noise level σ/α = {2}, level {3} of {4}.",
  stageHelp: "Click, or move with the arrow keys, to ask about one point.",
  sentenceWalk: "{0} samples drawn here, from noise to data. Drag the ruler.",
  sentenceForward: "{0} real points, each on its way to noise.",
  sentenceScore: "The score at this level: which way the density of noisy points rises.",
  sentenceVelocity: "The velocity at this level: how points move on the way to data.",
  sentenceDifference: "Where the network is wrong at this level: brighter is worse, arrows are its error.",
  quality: "How good are the samples?",
  timesFloor: "× floor",
  interval: "{0} to {1}",
  fromPython: "measured in Python, 10,000 points a draw",
  fromHere: "here in the page: {0} × floor ({1} to {2})",
  fromTraining: "while it trains, {0} points",
  fromPythonNow: "in Python, now: {0} × floor ({1} to {2})",
  measuring: "measuring …",
  starting: "The studio starts …",
  noEntry: "The studio did not let this page in: open the address that it printed.",
  engineRemote: "All numbers are computed in Python by the studio on this machine ({0} weights).",
  floorWhat: "1 is perfect: as far from the data as fresh data is. Show two real clouds.",
  floorHide: "Back to the samples",
  floorSentence: "Two clouds of real points. Their distance is the floor: 1.",
  notMeasured: "not measured",
  exactQuality: "The exact denoiser with this sampler: {0} × floor.",
  loss: "Loss",
  lossOf: "loss of the run",
  lossHere: "loss in this page",
  lossFloor: "irreducible: the exact denoiser on the same batches",
  lossSentence: "{0}. No network can get below {1}.",
  lossUnknown: "The law of this data is unknown, and so is the least loss.",
  train: "Train again, here",
  trainSeed: "Seed",
  trainSteps: "Steps",
  trainWidth: "Width",
  trainRate: "Learning rate",
  trainBatch: "Batch",
  trainSettings: "Settings",
  stop: "Stop",
  training: "step {0} of {1}, {2} s",
  trained: "{0} steps in {1} s on this device. Drag the training step below the picture.",
  trainedStopped: "Stopped after {0} steps.",
  levels: "Error by noise level",
  levelsSentence: "How far the network's answer is from the exact one, in deviations of the data. Worst at σ/α = {0}: go there.",
  point: "One point",
  pointHint: "Click anywhere in the picture: what would a denoiser answer there?",
  pointSentence:
    "At σ/α = {0} the exact answer E[x₀|x_t] is ({1}, {2}); the network says ({3}, {4}), {5} away.",
  pointEnds: "From here the network walks to ({0}, {1}), the exact denoiser to ({2}, {3}).",
  pointClear: "Clear",
  pathLearned: "path under the network",
  pathExact: "path under the exact denoiser",
  posterior: "posterior p(x₀|x_t) and its mean",
  sampler: "Sampler",
  samplerSteps: "Steps",
  points: "Points",
  drawn: "{0} evaluations in {1} s ({2} million a second)",
  newNoise: "New noise",
  by: "Drawn by",
  engine: "All that moves is computed by this page itself, in {0} ({1} weights); no data leaves it.",
  engineWasm: "WebAssembly",
  enginePlain: "plain JavaScript",
  unknownLaw: "The law of this data is unknown: “exact” is the perfect denoiser of the training points themselves.",
  unsupported: "This run samples with {0}, which this page does not have; it uses {1}.",
  failed: "This did not work: {0}",
  keys: "Keys",
  keysText: "Space: play · ← →: one level · Shift + ← →: training step · Home, End: noise, data · 1 2 3: field · L: language",
  noGl: "Drawn without WebGL.",
};

export type Word = keyof typeof en;

const zh: Record<Word, string> = {
  language: "English",
  languageTitle: "English version",
  theme: "深色或浅色",
  samples: "采样",
  forward: "前向加噪",
  walkTitle: "从噪声到数据，由网络或精确去噪器完成",
  forwardTitle: "真实数据点逐渐变成噪声",
  none: "只看点",
  score: "得分",
  velocity: "速度",
  scoreTitle: "σ 乘以 log q(x_t) 的梯度：带噪点的密度向哪里升高",
  velocityTitle: "去噪途中，点在图中如何移动",
  learned: "网络",
  exact: "精确",
  difference: "差异",
  what: "画什么",
  field: "向量场",
  answeredBy: "由谁回答",
  play: "播放",
  pause: "暂停",
  before: "后退一级",
  next: "前进一级",
  slow: "慢动作",
  time: "从噪声到数据",
  noise: "噪声",
  data: "数据",
  levelIs: "σ/α = {0}",
  stepOf: "第 {0} 级，共 {1} 级",
  history: "训练步",
  historyNow: "第 {0} 步",
  real: "真实点",
  stageName: "{0}：{1} 个点，噪声水平 σ/α = {2}，第 {3} 级，共 {4} 级。",
  stageHelp: "点击图中任意处，或用方向键移动，查看一个点。",
  sentenceWalk: "此处现采的 {0} 个样本，从噪声走到数据。拖动标尺试试。",
  sentenceForward: "{0} 个真实点，正逐渐变成噪声。",
  sentenceScore: "此噪声水平的得分：带噪点的密度向哪个方向升高。",
  sentenceVelocity: "此噪声水平的速度：点在走向数据时如何移动。",
  sentenceDifference: "网络在此噪声水平错在哪里：越亮错得越多，箭头是它的误差。",
  quality: "样本有多好？",
  timesFloor: "× 下限",
  interval: "{0} 至 {1}",
  fromPython: "由 Python 测得，每次 10,000 个点",
  fromHere: "本页测得：{0} × 下限（{1} 至 {2}）",
  fromTraining: "训练进行中，{0} 个点",
  fromPythonNow: "Python 现测：{0} × 下限（{1} 至 {2}）",
  measuring: "正在测量……",
  starting: "Studio 正在启动……",
  noEntry: "Studio 没有让本页进入：请打开它打印出的地址。",
  engineRemote: "所有数字都由本机上的 studio 用 Python 计算（{0} 个权重）。",
  floorWhat: "1 为完美：与数据的距离等于两批真实数据之间的距离。看两批真实数据。",
  floorHide: "回到样本",
  floorSentence: "两批真实数据点。它们之间的距离就是下限：1。",
  notMeasured: "未测量",
  exactQuality: "精确去噪器配此采样器：{0} × 下限。",
  loss: "损失",
  lossOf: "此次训练的损失",
  lossHere: "本页训练的损失",
  lossFloor: "不可约：精确去噪器在相同批次上的损失",
  lossSentence: "{0}。任何网络都不能低于 {1}。",
  lossUnknown: "这些数据的分布未知，最小损失也就未知。",
  train: "在本页重新训练",
  trainSeed: "种子",
  trainSteps: "步数",
  trainWidth: "宽度",
  trainRate: "学习率",
  trainBatch: "批大小",
  trainSettings: "设置",
  stop: "停止",
  training: "第 {0} 步，共 {1} 步，{2} 秒",
  trained: "本机用 {1} 秒训练了 {0} 步。拖动图下方的训练步。",
  trainedStopped: "训练 {0} 步后停止。",
  levels: "各噪声水平的误差",
  levelsSentence: "网络的回答与精确答案的距离，以数据的标准差为单位。最差处 σ/α = {0}：去看看。",
  point: "一个点",
  pointHint: "点击图中任意处：去噪器在那里会怎样回答？",
  pointSentence: "在 σ/α = {0} 处，精确答案 E[x₀|x_t] 是（{1}，{2}）；网络回答（{3}，{4}），相差 {5}。",
  pointEnds: "从这里出发，网络走到（{0}，{1}），精确去噪器走到（{2}，{3}）。",
  pointClear: "清除",
  pathLearned: "网络给出的路径",
  pathExact: "精确去噪器给出的路径",
  posterior: "后验 p(x₀|x_t) 及其均值",
  sampler: "采样器",
  samplerSteps: "步数",
  points: "点数",
  drawn: "{0} 次网络求值，用时 {1} 秒（每秒 {2} 百万次）",
  newNoise: "换一批噪声",
  by: "由谁采样",
  engine: "所有动态内容都由本页用 {0} 自行计算（{1} 个权重）；数据不会离开本页。",
  engineWasm: "WebAssembly",
  enginePlain: "普通 JavaScript",
  unknownLaw: "这些数据的分布未知：“精确”指训练点本身的完美去噪器。",
  unsupported: "此次运行用 {0} 采样，本页没有它，改用 {1}。",
  failed: "未能完成：{0}",
  keys: "按键",
  keysText: "空格：播放 · ← →：一级 · Shift + ← →：训练步 · Home、End：噪声、数据 · 1 2 3：向量场 · L：语言",
  noGl: "未使用 WebGL 绘制。",
};

export type Language = "en" | "zh";
export const DICTIONARY: Record<Language, Record<Word, string>> = { en, zh };

/** Says words in the language of the page, and says them again when that changes. */
export class Speaker {
  private readonly again: (() => void)[] = [];

  constructor(private chosen: Language) {}

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
    return DICTIONARY[this.chosen][word].replace(/\{(\d)\}/g, (_, i: string) => String(values[Number(i)] ?? ""));
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
