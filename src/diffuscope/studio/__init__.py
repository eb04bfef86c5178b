"""How is a training watched while it runs? By a page on this machine, and a process of its own that computes.

    page  <- websocket ->  server  <- pipes ->  engine

The server (:mod:`~diffuscope.studio.server`) checks who asks and passes messages on; it does not load torch,
and so the page opens at once. The engine (:mod:`~diffuscope.studio.engine`) trains and answers between steps.
"""
