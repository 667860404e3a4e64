"""Called like `python`: has the server that lies beside it start a process, and ends as that does.

It gives the process its arguments, folder, environment and streams, and passes SIGTERM and SIGINT
on. It imports little, as it is started often.
"""

import json
import os
import signal
import socket
import sys

server = socket.socket(socket.AF_UNIX)
server.connect(os.path.join(os.path.dirname(os.path.abspath(__file__)), "socket"))
asked = {
    "program": os.path.abspath(__file__),
    "arguments": sys.argv[1:],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
}
text = json.dumps(asked).encode()
socket.send_fds(server, [len(text).to_bytes(8, "big")], [0, 1, 2])
server.sendall(text)


def pass_on(number, frame):
    server.sendall(bytes([number]))


for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, pass_on)
status = int.from_bytes(server.recv(4), "big", signed=True)
if status < 0:
    if status != -signal.SIGKILL:  # which has no handler
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
