"""How is a training watched while it runs? By a page on this machine, and a process of its own that computes.

    page  <- websocket ->  server  <- pipes ->  session

The server (:mod:`~diffuscope.studio.server`) checks who asks and passes messages on; it does not load torch,
and so the page opens at once. A session (:mod:`~diffuscope.studio.session`) trains and answers between steps.
"""
