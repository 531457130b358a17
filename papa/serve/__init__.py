"""`papa serve`: a web page on this machine where one user rates images and the model learns (docs/serve.md).

    start.py      from the command line to a running server
    server.py     routes; security.py: who may use them
    desk.py       the session, its worker thread, and the state that the page shows
    drafts.py     every keystroke, on disk beside the log
    answers.py    what the page sends; keystrokes to answers of a session, and back
    previews.py   images before and now; dial.py: the strength of the result
    exports.py    saving answers, deleting everything

This module imports neither torch nor Starlette.
"""
