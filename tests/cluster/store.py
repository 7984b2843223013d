"""A blob store of Azure for one folder of day files, as far as dqn-trader reads one.

    store.py NAME FOLDER LOG

It listens on port 10000 of this machine alone. Requests without an account's signature are refused; every other one adds NAME
to LOG.
"""

import pathlib
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

NAME, FOLDER, LOG = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
DAY = "Mon, 01 Jan 2018 00:00:00 GMT"


class Store(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, code, body, kind="application/octet-stream", **headers):
        self.send_response(code)
        headers |= {"x_ms_request_id": "00000000-0000-0000-0000-000000000001", "x_ms_version": "2022-11-02"}
        headers |= {"x_ms_creation_time": DAY, "x_ms_server_encrypted": "true"}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        if not self.headers.get("Authorization", "").startswith("SharedKey trader:"):
            return self.answer(403, b"")
        with open(LOG, "a") as log:
            log.write(NAME + "\n")
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if query.get("comp") == "list":
            return self.answer(200, listing(query.get("prefix", ""), query.get("delimiter")), "application/xml")
        # /account/container/blob
        path = FOLDER / urllib.parse.unquote(url.path).split("/", 3)[3]
        if not path.is_file():
            return self.answer(404, b"")
        body, asked = path.read_bytes(), self.headers.get("Range") or self.headers.get("x-ms-range")
        told = {"ETag": '"1"', "Last_Modified": DAY, "x_ms_blob_type": "BlockBlob"}
        if not asked or self.command == "HEAD":
            return self.answer(200, body, **told)
        begin, end = asked.removeprefix("bytes=").split("-")
        begin, end = int(begin), min(int(end or len(body)), len(body) - 1)
        told["Content_Range"] = f"bytes {begin}-{end}/{len(body)}"
        return self.answer(206, body[begin : end + 1], **told)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def listing(prefix, delimiter):
    blobs, folders = [], []
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
        name = str(path.relative_to(FOLDER))
        if not name.startswith(prefix):
            continue
        below, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        if cut:
            folders.append(prefix + below + delimiter)
        else:
            blobs.append(
                f"<Blob><Name>{escape(name)}</Name><Properties><Creation-Time>{DAY}</Creation-Time>"
                f'<Last-Modified>{DAY}</Last-Modified><Etag>"1"</Etag><Content-Length>{path.stat().st_size}</Content-Length>'
                "<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>"
            )
    blobs += [f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in dict.fromkeys(folders)]
    return (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>'
        + "".join(blobs)
        + "</Blobs><NextMarker/></EnumerationResults>"
    ).encode()


ThreadingHTTPServer(("127.0.0.1", 10000), Store).serve_forever()
