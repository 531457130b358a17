"""A person's page: one session of one person, answered in a browser on this machine (`papa serve`, docs/serve.md).

    server.py      the routes, and the server itself
    security.py    who may ask for what: hosts, tokens, origins, sizes, slow clients
    desk.py        the session, its worker thread, and what the page is told
    drafts.py      the file of keystrokes beside the log
    answers.py     what a keystroke means to a method, and what a log line means to the page
    steps.py       what the page sends
    pictures.py    pictures as a browser takes them
    strips.py      what the model draws before and now
    dial.py        the strength of the aligned result, without new training
    start.py       from the command line to a server
    patient.py     uvicorn's protocol with a limit on slow heads
    exports.py     what a person takes away, and what is deleted
    templates/ static/   the page

This module imports neither torch nor starlette; the command line loads the others when they are needed.
"""
