"""The server answers only the page's own requests, with the page's own files, and listens where it is told to."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

import gankit

pytest.importorskip("gradio")
from gankit.explorer import build_page, private_files, serve
from gankit.explorer.server import MAX_UPLOAD


@pytest.fixture(scope="module")
def page(served, styled):
    return served(styled)


def upload(path: str, **meta: str) -> dict[str, object]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **meta}


class TestFiles:
    @pytest.mark.parametrize(
        "path",
        ["/gradio_api/file={}", "/gradio_api/file/{}", "/file={}", "/static/{}", "/gradio_api/file=served/../{}"],
    )
    def test_no_others_are_served(self, page, tmp_path, path):
        (tmp_path / "secret.png").write_text("a secret")
        got = page.http.get(path.format(tmp_path / "secret.png"))
        assert got.status_code in (403, 404)
        assert "a secret" not in got.text

    def test_nor_are_those_of_the_working_directory(self, page, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / ".gradio" / "cached_examples").mkdir(parents=True)
        for name in ("secret.png", ".gradio/cached_examples/secret.png"):
            (tmp_path / name).write_text("a secret")
            assert page.http.get(f"/gradio_api/file={tmp_path / name}").status_code == 403

    @pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.png", "HTTPS://example.com/x.png"])
    def test_nor_are_those_of_other_servers(self, page, address, monkeypatch):
        looked_up, look_up = [], socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: looked_up.append(given[0]) or look_up(*given, **_))
        for path in ("file=", "file/", "proxy="):
            assert page.http.get(f"/gradio_api/{path}{address}").status_code in (400, 403, 404)
        assert page.call("projection", upload(address), "z", 10, False, -1, 1.0, "", "const") in (
            "upload a file in place of an address",
            None,
        )
        assert {*looked_up} <= {"127.0.0.1"}

    def test_no_others_can_be_named_as_an_upload(self, page):
        name = str(Path(__file__).parents[2] / "docs/images/samples.png")
        assert page.call("projection", upload(name), "z", 10, False, -1, 1.0, "", "const") is None

    def test_uploads_are_bounded_and_stay_in_the_folder(self, page):
        large = page.http.post("/gradio_api/upload", files={"files": ("x.png", bytes(MAX_UPLOAD + 1))})
        assert large.status_code == 413
        kept = page.upload("../../../escaped.png", b"x")
        assert Path(kept["path"]).is_relative_to(page.folder)
        assert Path(kept["path"]).name == "escaped.png"


class TestRequests:
    @pytest.mark.parametrize(
        "headers",
        [
            {"host": "evil.example"},
            {"host": "evil.example:7860", "origin": "http://evil.example:7860"},
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": "http://["},
            {"host": "["},
            {"origin": "http://127.0.0.1:1"},
        ],
    )
    def test_other_pages_are_refused(self, page, headers):
        assert page.http.get("/config", headers=headers).status_code == 403
        sent = page.http.post("/gradio_api/upload", files={"files": ("x.png", b"x")}, headers=headers)
        assert sent.status_code == 403

    def test_the_page_itself_is_not(self, page):
        own = f"{page.http.base_url.host}:{page.http.base_url.port}"
        assert page.http.get("/config", headers={"origin": f"http://{own}"}).status_code == 200
        assert page.http.get("/config", headers={"host": f"localhost:{page.http.base_url.port}"}).status_code == 200

    def test_the_page_names_no_other_server_to_load_from(self, page):
        theme = page.http.get("/theme.css").text
        assert not re.search(r"@import|url\(.?http", theme)
        assert "fonts.googleapis.com/css" not in page.http.get("/").text
        assert page.http.get("/config").json()["analytics_enabled"] is False


class TestAddresses:
    @pytest.fixture
    def small(self, enlarging, tmp_path):
        with private_files(tmp_path):
            yield build_page(enlarging)

    def test_a_port_in_use(self, small):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            message = f"cannot listen on 127.0.0.1, port {port}: address already in use; choose another port with --port"
            with pytest.raises(gankit.GankitError, match=message), serve(small, port=port):
                pass

    @pytest.mark.parametrize("host", ["no.such.host.invalid", "256.1.1.1"])
    def test_an_unknown_host(self, small, host):
        with pytest.raises(gankit.GankitError, match=f"--host {host}: is not an address"), serve(small, host, 0):
            pass

    def test_an_address_of_another_machine(self, small):
        with pytest.raises(gankit.GankitError, match="cannot listen on 192.0.2.1, port"), serve(small, "192.0.2.1", 0):
            pass

    def test_a_public_address_that_cannot_be_made(self, small, monkeypatch, capsys):
        def fail(**_):
            raise RuntimeError("no network")

        monkeypatch.setattr("gradio.networking.setup_tunnel", fail)
        message = "--share: the public address cannot be made"
        with pytest.raises(gankit.GankitError, match=message), serve(small, port=0, share=True):
            pass
        assert capsys.readouterr().out == ""

    def test_a_proxy_is_not_asked_for_this_machine(self, small, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        with serve(small, port=0) as address:
            assert address.startswith("http://127.0.0.1:")

    def test_the_environment_for_other_pages_has_no_effect_and_is_kept(self, monkeypatch, tmp_path):
        monkeypatch.setenv("GRADIO_SHARE", "True")
        monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
        before = dict(os.environ)
        with private_files(tmp_path):
            assert "GRADIO_SHARE" not in os.environ
            assert "GRADIO_ALLOWED_PATHS" not in os.environ
        assert dict(os.environ) == before
