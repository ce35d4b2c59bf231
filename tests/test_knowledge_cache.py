"""The cache of tables, and the network that fills it."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import json
import random
import sys
import threading
import time
from pathlib import Path

import pytest

from celloquy._runtime import cache_folder
from celloquy.errors import DownloadError, InputError
from celloquy.knowledge import (
    DownloadLimits,
    data_add,
    data_get,
    data_list,
    has_table,
    read_table,
    table_version,
)
from celloquy.knowledge._download import fetch, redirect_target

ROWS = "".join(f"G{i}\tENSG{i:011d}\tprotein-coding gene\t\t\n" for i in range(5_000))
TABLE = ("symbol\tensembl_gene_id\tlocus_group\talias_symbol\tprev_symbol\n" + ROWS).encode()
FAST = DownloadLimits(timeout=0.5, pause=0.0)


class Server:
    """A web server on this machine that answers each request from a script."""

    def __init__(self) -> None:
        self.script: list = []
        self.requests: list = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers)))
                step = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                step(self)

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/table.tsv"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def answer(status=200, content=TABLE, *, length=None, headers=None, cut=None):
    """Answer with a whole or a cut content."""

    def step(handler):
        handler.send_response(status)
        stated = len(content) if length is None else length
        if stated >= 0:
            handler.send_header("Content-Length", str(stated))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content[:cut])
        handler.close_connection = True

    return step


def ranged(content=TABLE, *, tag='"v1"'):
    """Continue where asked if the validator is the same, else answer anew."""

    def step(handler):
        asked = handler.headers.get("Range")
        if asked and handler.headers.get("If-Range") == tag:
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            extra = {
                "Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}",
                "ETag": tag,
            }
            answer(206, content[begin:], headers=extra)(handler)
        else:
            answer(200, content, headers={"ETag": tag})(handler)

    return step


def silent(handler):
    """Begin an answer, then say nothing more for a while."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    time.sleep(1.0)
    handler.close_connection = True


def drip(handler):
    """Send a byte now and then."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b"x")
        time.sleep(0.03)


def test_a_table_is_fetched_once_and_recorded(server):
    server.script = [answer(headers={"Last-Modified": "Tue, 01 Sep 2026 00:00:00 GMT"})]
    entry = data_get("hgnc", url=server.url)
    assert entry.sha256 == hashlib.sha256(TABLE).hexdigest()
    assert (entry.size, entry.rows, entry.origin) == (len(TABLE), 5_000, server.url)
    assert entry.last_modified == "Tue, 01 Sep 2026 00:00:00 GMT"
    assert entry.licence.startswith("CC0")
    assert data_get("hgnc", url=server.url) == entry
    assert len(server.requests) == 1
    assert read_table("hgnc")["symbol"].tolist()[:2] == ["G0", "G1"]


def test_nothing_is_left_beside_the_table(server):
    server.script = [answer()]
    data_get("hgnc", url=server.url)
    assert list((cache_folder() / "partial").iterdir()) == []
    assert {path.name for path in (cache_folder() / "tables").iterdir()} == {
        "hgnc.json",
        f"hgnc-{hashlib.sha256(TABLE).hexdigest()[:12]}",
    }


def test_a_cut_connection_is_continued_where_it_broke(server):
    half = len(TABLE) // 2
    server.script = [answer(headers={"ETag": '"v1"'}, cut=half), ranged()]
    assert data_get("hgnc", url=server.url, limits=FAST).sha256 == hashlib.sha256(TABLE).hexdigest()
    assert server.requests[1][1]["Range"] == f"bytes={half}-"
    assert server.requests[1][1]["If-Range"] == '"v1"'


def test_a_later_call_continues_what_an_earlier_one_left(server):
    half = len(TABLE) // 2
    once = DownloadLimits(attempts=1, pause=0.0)
    server.script = [answer(headers={"ETag": '"v1"'}, cut=half)]
    with pytest.raises(DownloadError, match=r"bytes arrived") as failure:
        data_get("hgnc", url=server.url, limits=once)
    assert failure.value.retryable
    assert not has_table("hgnc")
    server.script = [ranged()]
    data_get("hgnc", url=server.url, limits=once)
    assert server.requests[1][1]["Range"] == f"bytes={half}-"


def test_a_file_that_changed_meanwhile_is_fetched_anew(server):
    half = len(TABLE) // 2
    server.script = [
        answer(headers={"ETag": '"v0"'}, content=b"x" * half, length=2 * half),
        ranged(),
    ]
    assert data_get("hgnc", url=server.url, limits=FAST).sha256 == hashlib.sha256(TABLE).hexdigest()


def test_a_server_that_ignores_ranges_is_fetched_anew(server):
    half = len(TABLE) // 2
    server.script = [answer(headers={"ETag": '"v1"'}, cut=half), answer()]
    assert data_get("hgnc", url=server.url, limits=FAST).sha256 == hashlib.sha256(TABLE).hexdigest()
    assert "Range" in server.requests[1][1]


def test_without_a_validator_nothing_is_continued(server):
    server.script = [answer(headers={"ETag": 'W/"weak"'}, cut=100), answer()]
    data_get("hgnc", url=server.url, limits=FAST)
    assert "Range" not in server.requests[1][1]


def test_a_server_that_continues_at_the_wrong_place_is_not_believed(server):
    half = len(TABLE) // 2
    wrong = {"Content-Range": f"bytes 7-{len(TABLE) - 1}/{len(TABLE)}"}
    server.script = [
        answer(headers={"ETag": '"v1"'}, cut=half),
        answer(206, TABLE[7:], headers=wrong),
    ]
    with pytest.raises(DownloadError, match=rf"the server continued at 'bytes 7-.*not at {half}"):
        data_get("hgnc", url=server.url, limits=FAST)


def test_a_range_that_cannot_be_had_starts_anew(server):
    server.script = [answer(headers={"ETag": '"v1"'}, cut=100), answer(416, b""), answer()]
    data_get("hgnc", url=server.url, limits=FAST)
    assert "Range" not in server.requests[2][1]


def test_a_server_error_is_tried_again_after_the_wait_it_asks_for(server):
    server.script = [answer(503, b"", headers={"Retry-After": "0"}), answer(500, b""), answer()]
    assert data_get("hgnc", url=server.url, limits=FAST).rows == 5_000
    assert len(server.requests) == 3


def test_tries_come_to_an_end_and_leave_the_global_random_state_alone(server):
    server.script = [answer(500, b"")]
    before = random.getstate()
    with pytest.raises(DownloadError, match=r"could not be fetched in 5 tries: .*500") as failure:
        data_get("hgnc", url=server.url, limits=FAST)
    assert failure.value.retryable
    assert len(server.requests) == 5
    assert random.getstate() == before


def test_what_is_not_there_is_asked_for_once(server):
    server.script = [answer(404, b"")]
    with pytest.raises(DownloadError, match=r"refused .* 404") as failure:
        data_get("hgnc", url=server.url, limits=FAST)
    assert not failure.value.retryable
    assert "celloquy data add" in failure.value.hint
    assert len(server.requests) == 1


def test_a_silent_server_is_given_up(server):
    server.script = [silent]
    short = DownloadLimits(timeout=0.1, attempts=2, pause=0.0)
    with pytest.raises(DownloadError, match=r"in 2 tries: no byte for 0.1 s"):
        data_get("hgnc", url=server.url, limits=short)


def test_a_server_that_drips_is_given_up(server):
    server.script = [drip]
    with pytest.raises(DownloadError, match=r"it took more than 0\.2 s"):
        data_get("hgnc", url=server.url, limits=DownloadLimits(total_time=0.2, pause=0.0))


def test_no_server_is_said_so(server):
    server.close()
    with pytest.raises(DownloadError, match="no connection"):
        data_get("hgnc", url=server.url, limits=FAST)
    server.__init__()


def test_a_wrong_hash_is_thrown_away(server):
    server.script = [answer()]
    with pytest.raises(DownloadError, match=r"has the SHA-256 .* not 000000000000… as expected"):
        data_get("hgnc", url=server.url, sha256="0" * 64, limits=FAST)
    assert not has_table("hgnc")
    assert list((cache_folder() / "partial").iterdir()) == []


def test_a_web_page_instead_of_the_table_is_refused_and_not_kept(server):
    server.script = [answer(content=b"<html><body>Please log in</body></html>")]
    with pytest.raises(DownloadError, match="is a web page"):
        data_get("hgnc", url=server.url, limits=FAST)
    assert not has_table("hgnc")
    assert list((cache_folder() / "partial").iterdir()) == []


@pytest.mark.parametrize("stated", [None, -1])
def test_a_file_that_is_too_large_is_refused(server, stated):
    server.script = [answer(length=stated)]
    with pytest.raises(DownloadError, match="more than 1,000 bytes"):
        data_get("hgnc", url=server.url, limits=DownloadLimits(most_bytes=1_000))
    assert list((cache_folder() / "partial").glob("*[!n]")) == []


def test_redirects_are_followed_but_not_in_a_circle(server):
    server.script = [answer(302, b"", headers={"Location": "/there.tsv"}), answer()]
    assert data_get("hgnc", url=server.url, limits=FAST).file == "table.tsv"
    assert server.requests[1][0] == "/there.tsv"
    server.script = [answer(302, b"", headers={"Location": "/there.tsv"})]
    with pytest.raises(DownloadError, match="in a circle"):
        data_get("hgnc", url=server.url, limits=FAST, overwrite=True)


def test_a_redirect_to_an_unsafe_address_is_refused(server):
    server.script = [answer(302, b"", headers={"Location": "http://example.org/table"})]
    with pytest.raises(InputError, match="over https only"):
        data_get("hgnc", url=server.url, limits=FAST)


def test_a_redirect_from_elsewhere_onto_this_machine_is_refused():
    with pytest.raises(DownloadError, match="points to this machine"):
        redirect_target("https://example.org/x", "http://127.0.0.1:8080/admin")
    assert redirect_target("https://example.org/a/x", "../y") == "https://example.org/y"


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x", "ftp://example.org/x", "file:///etc/passwd", "x.tsv", "https://"],
)
def test_only_https_and_this_machine_are_asked(url):
    with pytest.raises(InputError, match="over https only"):
        data_get("hgnc", url=url)


def test_an_address_with_a_password_is_refused():
    with pytest.raises(InputError, match="user name or password"):
        data_get("hgnc", url="https://me:secret@example.org/x")


@pytest.mark.parametrize("limit", [{"timeout": 0}, {"attempts": 0}, {"pause": -1}])
def test_limits_must_be_above_zero(limit):
    with pytest.raises(InputError, match="must be above zero"):
        DownloadLimits(**limit)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_disk_is_told_and_not_tried_again(server, tmp_path):
    (tmp_path / "part").symlink_to("/dev/full")
    server.script = [answer()]
    with pytest.raises(InputError, match="cannot be written to: No space left on device"):
        fetch(server.url, tmp_path / "part", limits=FAST)
    assert len(server.requests) == 1


def test_a_cache_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    (tmp_path / "hgnc.tsv").write_bytes(TABLE)
    monkeypatch.setenv("CELLOQUY_CACHE", str(tmp_path / "hgnc.tsv" / "cache"))
    with pytest.raises(InputError, match=r"The cache folder .* cannot be made") as refusal:
        data_add("hgnc", tmp_path / "hgnc.tsv", overwrite=True)
    assert "CELLOQUY_CACHE" in refusal.value.hint


def test_a_file_is_added_and_read_back(tmp_path):
    path = tmp_path / "hgnc.txt.gz"
    path.write_bytes(gzip.compress(TABLE))
    entry = data_add("hgnc", path)
    assert entry.origin == "file"
    assert entry.file == "hgnc.txt.gz"
    assert table_version("hgnc") == entry.sha256[:12]
    assert read_table("hgnc").loc[4_999].tolist() == [
        "G4999", "ENSG00000004999", "protein-coding gene", "", "", "", "",
    ]  # fmt: skip
    assert data_add("hgnc", path) == entry


def test_another_version_is_added_only_when_overwriting(tmp_path):
    first, second = tmp_path / "a.tsv", tmp_path / "b.tsv"
    first.write_bytes(TABLE)
    second.write_bytes(TABLE + b"X\t\tother\t\t\n")
    before = data_add("hgnc", first)
    with pytest.raises(
        InputError, match=rf"holds a 'hgnc' already \({before.sha256[:12]}"
    ) as refusal:
        data_add("hgnc", second)
    assert "--overwrite" in refusal.value.hint
    assert len(read_table("hgnc")) == 5_000
    data_add("hgnc", second, overwrite=True)
    assert len(read_table("hgnc")) == 5_001
    assert len(list((cache_folder() / "tables").iterdir())) == 2


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        data_add("hgnc", tmp_path / "absent.tsv")


def test_a_refused_file_leaves_the_cache_as_it_was(tmp_path):
    bad = tmp_path / "bad.tsv"
    bad.write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match="needs the columns"):
        data_add("hgnc", bad)
    assert not has_table("hgnc")


@pytest.fixture
def added(tmp_path):
    path = tmp_path / "hgnc.tsv"
    path.write_bytes(TABLE)
    entry = data_add("hgnc", path)
    return cache_folder() / "tables" / f"hgnc-{entry.sha256[:12]}", path


def test_a_table_that_changed_on_disk_is_refused_and_can_be_replaced(added):
    folder, path = added
    with (folder / "table.parquet").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match="'hgnc' in the cache is damaged") as refusal:
        read_table("hgnc")
    assert "celloquy data get hgnc --overwrite" in refusal.value.hint
    assert data_list(verify=True).loc["hgnc", "state"] == "damaged"
    data_add("hgnc", path, overwrite=True)
    assert len(read_table("hgnc")) == 5_000


@pytest.mark.parametrize("record", ["{", "[]", "{}"])
def test_a_record_that_cannot_be_read_is_refused_and_listed(added, record):
    _, path = added
    (cache_folder() / "tables" / "hgnc.json").write_text(record)
    with pytest.raises(InputError, match="is damaged"):
        read_table("hgnc")
    assert data_list().loc["hgnc", "state"] == "damaged"
    assert data_add("hgnc", path, overwrite=True).rows == 5_000


def test_a_record_of_another_version_is_refused(added):
    record = cache_folder() / "tables" / "hgnc.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"schema_version": 99}))
    with pytest.raises(InputError, match="another version of celloquy"):
        read_table("hgnc")


def test_a_record_cannot_point_out_of_the_cache(added):
    record = cache_folder() / "tables" / "hgnc.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"sha256": "../../../../etc"}))
    with pytest.raises(InputError, match="is damaged"):
        read_table("hgnc")


def test_the_first_schema_is_read_for_ever(added):
    record = json.loads((cache_folder() / "tables" / "hgnc.json").read_text())
    assert record["schema_version"] == 1
    assert set(record) == {
        "name", "sha256", "size", "rows", "origin", "file", "licence", "date", "last_modified",
        "table_sha256", "schema_version",
    }  # fmt: skip


def test_an_absent_table_is_refused_with_the_two_ways_to_get_it():
    with pytest.raises(InputError, match="'hgnc' is not in the cache") as refusal:
        read_table("hgnc")
    assert "celloquy data get hgnc" in refusal.value.hint
    assert "celloquy data add hgnc FILE" in refusal.value.hint


def test_the_list_shows_source_licence_size_and_date_of_every_table(added):
    listed = data_list()
    assert listed.loc["hgnc", ["state", "size", "rows"]].tolist() == ["here", len(TABLE), 5_000]
    assert listed.loc["hgnc", "date"].startswith("20")
    assert (listed.drop("hgnc")["state"] == "absent").all()
    assert (listed["licence"] != "").all()


def test_the_cache_lies_where_the_platform_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("CELLOQUY_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "xdg" / "celloquy"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "celloquy"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder().parts[-3:] == ("Library", "Caches", "celloquy")
    monkeypatch.setenv("CELLOQUY_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
