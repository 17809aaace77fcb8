"""An exported student in a browser: a static page, and a server for this machine."""
