"""What a server, or whoever stands before it, may answer: a corpus, and one test that reads it."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from speechaid.retell.transport import ExchangeFailed, Session
from tests.integration.retell.test_transport import RawServer, read_request

#: Content of an answer that is taken; and of one that the server sends without a request.
FIRST, SMUGGLED = b'{"call_id": "first"}', b'{"call_id": "smuggled"}'


def answer(content: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer with its length."""
    length = b"Content-Length: %d" % len(content)
    return b"\r\n".join([b"HTTP/1.1 " + status, length, *lines, b"", content])


def head(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"", b""])


def chunked(*chunks: bytes) -> bytes:
    return head(b"Transfer-Encoding: chunked") + b"".join(chunks)


def endless(start: bytes, piece: bytes) -> Iterable[bytes]:
    """Sent until the client leaves."""
    return itertools.chain([start], itertools.repeat(piece))


CHUNK = b"%x\r\n%b\r\n" % (len(FIRST), FIRST)
LAST_CHUNK = b"0\r\n\r\n"
PACKED = gzip.compress(FIRST)
BOMB = gzip.compress(bytes(64 * 1024 * 1024))
GZIP = b"Content-Encoding: gzip"
OK = (200, FIRST)


@dataclass(frozen=True)
class Hostile:
    """Bytes that answer a request, and what is expected of them: a status and content, or a fault's word."""

    name: str
    sent: bytes | Iterable[bytes]
    expected: tuple[int, bytes] | str
    #: Whether the server closes the connection then; otherwise it waits for the next request.
    closes: bool = False

    def __str__(self) -> str:
        return self.name


INTERIM = [
    Hostile("100", head(status=b"100 Continue") + answer(FIRST), OK),
    Hostile("102", head(status=b"102 Processing") + answer(FIRST), OK),
    Hostile("103 with links", head(b"Link: </a>", status=b"103 Early Hints") + answer(FIRST), OK),
    Hostile("103 with a length", head(b"Content-Length: 5", status=b"103 Early Hints") + answer(FIRST), OK),
    Hostile("103 that is chunked", chunked().replace(b"200 OK", b"103 Early Hints") + answer(FIRST), OK),
    Hostile("100, 102, 103", b"".join(head(status=b"%d" % n) for n in (100, 102, 103)) + answer(FIRST), OK),
    Hostile("103 and silence", head(status=b"103 Early Hints"), "timeout"),
    Hostile("103 and the end", head(status=b"103 Early Hints"), "reset", closes=True),
    Hostile("101", head(status=b"101 Switching Protocols") + answer(FIRST), "unreadable"),
    Hostile("102 for ever", endless(b"", head(status=b"102 Processing")), "unreadable"),
    Hostile("100 for ever", endless(b"", head(status=b"100 Continue")), "unreadable"),
]

CHUNKS = [
    Hostile("chunks", chunked(b"2\r\n{}\r\n", LAST_CHUNK), (200, b"{}")),
    Hostile("size in capitals", chunked(b"0000A\r\n", b"0123456789\r\n", LAST_CHUNK), (200, b"0123456789")),
    Hostile("chunk extension", chunked(b"2;a=b\r\n{}\r\n", LAST_CHUNK), (200, b"{}")),
    Hostile("blank after the size", chunked(b"2 \r\n{}\r\n", LAST_CHUNK), (200, b"{}")),
    Hostile("trailers", chunked(CHUNK, b"0\r\nX-A: 1\r\nX-B: 2\r\n\r\n"), OK),
    Hostile("trailers cut off", chunked(CHUNK, b"0\r\nX-A: 1\r\n"), OK, closes=True),
    Hostile("size -1", endless(chunked(b"-1\r\n"), bytes(65536)), "unreadable"),
    Hostile("size +2", chunked(b"+2\r\n{}\r\n", LAST_CHUNK), "unreadable"),
    Hostile("size 0x2", chunked(b"0x2\r\n{}\r\n", LAST_CHUNK), "unreadable"),
    Hostile("size after a blank", chunked(b" 2\r\n{}\r\n", LAST_CHUNK), "unreadable"),
    Hostile("size 0_2", chunked(b"0_2\r\n{}\r\n", LAST_CHUNK), "unreadable"),
    Hostile("no size", chunked(b"\r\n{}\r\n", LAST_CHUNK), "unreadable"),
    Hostile("size of words", chunked(b"two\r\n{}\r\n", LAST_CHUNK), "unreadable"),
    Hostile("size of 17 digits", chunked(b"1" * 17 + b"\r\n{}\r\n", LAST_CHUNK), "unreadable"),
    Hostile("size without CR", chunked(b"2\n{}\r\n", LAST_CHUNK), "unreadable"),
    Hostile("size larger than all", endless(chunked(b"F" * 16 + b"\r\n"), bytes(65536)), "unreadable"),
    Hostile("longer than its size", chunked(b"2\r\n{}garbage\r\n", LAST_CHUNK), "unreadable"),
    Hostile("shorter than its size", chunked(b"3\r\n{}\r\n", LAST_CHUNK), "unreadable"),
    Hostile("close in the size", chunked(b"2"), "reset", closes=True),
    Hostile("close in mid chunk", chunked(b"20\r\n{"), "reset", closes=True),
    Hostile("close after a chunk", chunked(CHUNK), "reset", closes=True),
    Hostile("silence in mid chunk", chunked(b"20\r\n{"), "timeout"),
    Hostile("endless extension", endless(chunked(b"2;"), b"a" * 65536), "unreadable"),
    Hostile("endless trailer", endless(chunked(CHUNK, b"0\r\nX-A: "), b"a" * 65536), "unreadable"),
    Hostile("endless trailers", endless(chunked(CHUNK, b"0\r\n"), b"X-A: 1\r\n"), "unreadable"),
    Hostile("endless chunks", endless(chunked(), b"400\r\n" + bytes(1024) + b"\r\n"), "unreadable"),
    Hostile("chunks of a 204", chunked(LAST_CHUNK).replace(b"200 OK", b"204 None"), (204, b"")),
]

LENGTHS = [
    Hostile(
        "length and chunks",
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + CHUNK + LAST_CHUNK,
        "unreadable",
    ),
    Hostile("two lengths", answer(FIRST, b"Content-Length: 2"), "unreadable"),
    Hostile("the same length twice", answer(FIRST, b"Content-Length: %d" % len(FIRST)), OK),
    Hostile("two lengths in a line", head(b"Content-Length: 2, 3") + b"{} ", "unreadable"),
    Hostile("negative length", head(b"Content-Length: -1") + FIRST, "unreadable", closes=True),
    Hostile("length +2", head(b"Content-Length: +2") + b"{}", "unreadable"),
    Hostile("length 0x2", head(b"Content-Length: 0x2") + b"{}", "unreadable"),
    Hostile("length 0_2", head(b"Content-Length: 0_2") + b"{}", "unreadable"),
    Hostile("no length's value", head(b"Content-Length:") + b"{}", "unreadable"),
    Hostile("length of 30 digits", head(b"Content-Length: " + b"9" * 30) + b"{}", "unreadable"),
    Hostile("blanks around the length", head(b"Content-Length: \t 2 ") + b"{}", (200, b"{}")),
    Hostile("folded length", head(b"Content-Length: 2\r\n 0") + b"{}", "unreadable"),
    Hostile("length hidden by a CR", answer(FIRST, b"X-A: a\rContent-Length: 2"), "unreadable"),
    Hostile("gzip as transfer coding", head(b"Transfer-Encoding: gzip, chunked") + CHUNK, "unreadable"),
    Hostile(
        "two transfer codings",
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip") + CHUNK + LAST_CHUNK,
        "unreadable",
    ),
    Hostile("identity as transfer coding", head(b"Transfer-Encoding: identity") + FIRST, "unreadable"),
    Hostile("missing body", head(b"Content-Length: 20"), "reset", closes=True),
    Hostile("half a body", head(b"Content-Length: 21") + FIRST, "reset", closes=True),
    Hostile("no length", head() + FIRST, OK, closes=True),
    Hostile("no length, for ever", endless(head(), bytes(65536)), "unreadable"),
    Hostile("a body of 40 MB", endless(head(b"Content-Length: 40000000"), bytes(65536)), "unreadable"),
    Hostile("body of a 204", answer(SMUGGLED, status=b"204 No Content"), (204, b"")),
]

HEADS = [
    Hostile("HTTP/0.9", FIRST, "unreadable", closes=True),
    Hostile("HTTP/1.0", answer(FIRST).replace(b"HTTP/1.1", b"HTTP/1.0"), OK),
    Hostile("HTTP/2 in words", answer(FIRST).replace(b"HTTP/1.1", b"HTTP/2"), "unreadable"),
    Hostile("HTTP/2 frames", b"\0\0\x12\x04\0\0\0\0\0" + bytes(18) + b"\r\n", "unreadable"),
    Hostile("another protocol", b"220 mail.example ESMTP\r\n", "unreadable"),
    Hostile("status 99", answer(FIRST, status=b"99 Low"), "unreadable"),
    Hostile("status of words", answer(FIRST, status=b"fine"), "unreadable"),
    Hostile("no reason phrase", answer(FIRST, status=b"200"), OK),
    Hostile("nothing", b"", "reset", closes=True),
    Hostile("silence", b"", "timeout"),
    Hostile("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", "reset", closes=True),
    Hostile("NUL in a value", answer(FIRST, b"X-A: a\0b"), "unreadable"),
    Hostile("NUL in a name", answer(FIRST, b"X-\0A: a"), "unreadable"),
    Hostile("a folded value", answer(FIRST, b"X-A: a\r\n\tb"), OK),
    Hostile("a folded first line", head(b" X-A: a", b"Content-Length: 2") + b"{}", "unreadable"),
    Hostile("a line without a colon", head(b"garbage", b"Content-Length: 2") + b"{}", "unreadable"),
    Hostile("blank before the colon", head(b"Content-Length : 2") + b"{}", "unreadable"),
    Hostile("bytes above ASCII", answer(FIRST, b"X-A: \xf1\xff"), OK),
    Hostile("101 headers", answer(FIRST, *[b"X-A: a"] * 101), "unreadable"),
    Hostile("headers for ever", endless(b"HTTP/1.1 200 OK\r\n", b"X-A: a\r\n"), "unreadable"),
    Hostile("long headers", answer(FIRST, *[b"X-A: " + b"a" * 60_000] * 90), "unreadable"),
    Hostile("a header for ever", endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 65536), "unreadable"),
    Hostile("a status line for ever", endless(b"HTTP/1.1 200 ", b"O" * 65536), "unreadable"),
]

CONTENTS = [
    Hostile("gzip", answer(PACKED, GZIP), OK),
    Hostile("gzip of nothing", answer(b"", GZIP), (200, b"")),
    Hostile(
        "chunked gzip",
        head(b"Transfer-Encoding: chunked", GZIP) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PACKED), PACKED),
        OK,
    ),
    Hostile("gzip bomb", answer(BOMB, GZIP), "unreadable"),
    Hostile(
        "chunked gzip bomb",
        head(b"Transfer-Encoding: chunked", GZIP) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BOMB), BOMB),
        "unreadable",
    ),
    Hostile(
        "redirect with a gzip bomb",
        answer(BOMB, GZIP, b"Location: /elsewhere", status=b"302 Found"),
        "unreadable",
    ),
    Hostile("truncated gzip", answer(PACKED[:-9], GZIP), "reset"),
    Hostile("gzip without its checksum", answer(PACKED[:-8] + bytes(8), GZIP), "unreadable"),
    Hostile("no gzip", answer(FIRST, GZIP), "unreadable"),
    Hostile("an unknown coding", answer(FIRST, b"Content-Encoding: rot13"), OK),
    Hostile("wrong charset", answer(FIRST, b"Content-Type: application/json; charset=utf-16"), OK),
    Hostile("no charset", answer(FIRST, b"Content-Type: application/json; charset=\xff"), OK),
    Hostile("a multipart type", answer(FIRST, b"Content-Type: multipart/mixed; boundary=x"), OK),
    Hostile("redirect", answer(FIRST, b"Location: /elsewhere", status=b"302 Found"), (302, FIRST)),
    Hostile("redirect to nowhere", answer(FIRST, b"Location: http://[", status=b"307"), (307, FIRST)),
    Hostile(
        "401 that asks for a login", answer(FIRST, b"WWW-Authenticate: Basic", status=b"401"), (401, FIRST)
    ),
]

LEFTOVERS = [
    Hostile("a second answer", answer(FIRST) + answer(SMUGGLED), OK),
    Hostile("a second answer after chunks", chunked(CHUNK, LAST_CHUNK) + answer(SMUGGLED), OK),
    Hostile("a second answer after 204", answer(b"", status=b"204 None") + answer(SMUGGLED), (204, b"")),
    Hostile("half a second answer", answer(FIRST) + answer(SMUGGLED)[:30], OK),
    Hostile("a line break too many", answer(FIRST) + b"\r\n", OK),
    Hostile("a second answer as the body of 304", answer(SMUGGLED, status=b"304 Old"), (304, b"")),
    Hostile("a large second answer", answer(FIRST) + answer(SMUGGLED + bytes(100_000)), OK),
]

CORPUS = [*INTERIM, *CHUNKS, *LENGTHS, *HEADS, *CONTENTS, *LEFTOVERS]


class HostileServer(RawServer):
    """Answers its first request as it is told, and each later one with that request's path."""

    def __init__(self, hostile: Hostile) -> None:
        self._hostile: Hostile | None = hostile
        super().__init__(lambda _connection: None)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while request := read_request(connection):
                self.requests += 1
                if (hostile := self._hostile) is None:
                    connection.sendall(answer(request.split(b" ")[1]))
                    continue
                self._hostile = None
                pieces = [hostile.sent] if isinstance(hostile.sent, bytes) else hostile.sent
                for piece in pieces:
                    connection.sendall(piece)
                if hostile.closes:
                    return


def result_of(session: Session, path: str, seconds: float) -> tuple[int, bytes] | str:
    try:
        taken = session.exchange("POST", path, content=b"{}", seconds=seconds)
    except ExchangeFailed as failed:
        return failed.word if failed.sent else f"{failed.word}, and not sent"
    return taken.status, taken.content


@pytest.mark.parametrize("hostile", CORPUS, ids=str)
def test_a_hostile_answer_is_refused_or_read_and_never_taken_for_the_next_one(hostile: Hostile) -> None:
    server = HostileServer(hostile)
    session = Session(server.base_url, user_agent="speechaid/test")
    with contextlib.closing(server), contextlib.closing(session):
        seconds = 0.5 if hostile.expected == "timeout" else 60.0
        assert result_of(session, "/first", seconds) == hostile.expected
        assert result_of(session, "/second", 60.0) == (200, b"/second")
        assert result_of(session, "/third", 60.0) == (200, b"/third")
        assert server.requests == 3, "a request was repeated"
