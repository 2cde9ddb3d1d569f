"""One file, the same bytes for the same content; what is unpacked is not trusted."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from naswot_ext.archive.container import check_manifest, compress, unpack, write_manifest
from naswot_ext.errors import NaswotError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "deep/er").mkdir(parents=True)
    (made / "a.txt").write_text("a")
    (made / "deep/er/numbers.bin").write_bytes(os.urandom(300_000))
    write_manifest(made)
    return made


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> Path:
    compress(folder, tmp_path / "x.tar.zst")
    return tmp_path / "x.tar.zst"


def test_what_is_unpacked_is_what_was_packed(archive: Path, folder: Path, tmp_path: Path) -> None:
    unpacked = unpack(archive, tmp_path / "other")
    assert (unpacked / "deep/er/numbers.bin").read_bytes() == (folder / "deep/er/numbers.bin").read_bytes()
    assert check_manifest(unpacked) == []


def test_the_same_content_gives_the_same_bytes_whatever_times_files_have(folder: Path, archive: Path) -> None:
    before = archive.read_bytes()
    os.utime(folder / "a.txt", (1, 1))
    compress(folder, archive)
    assert archive.read_bytes() == before


def test_members_have_no_owner_and_no_time(archive: Path) -> None:
    content = zstandard.ZstdDecompressor().decompressobj().decompress(archive.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)


def test_sha256sum_checks_the_manifest(folder: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "MANIFEST.sha256"], cwd=folder, check=True)


def test_the_manifest_tells_changed_missing_and_additional_files(folder: Path) -> None:
    (folder / "a.txt").write_text("b")
    (folder / "deep/er/numbers.bin").unlink()
    (folder / "new").touch()
    changed, missing, new = sorted(check_manifest(folder))
    assert changed == "a.txt has another SHA-256 than MANIFEST.sha256 says"
    assert missing == "deep/er/numbers.bin is missing"
    assert new == "new is not in MANIFEST.sha256"


def test_a_link_is_not_packed(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(NaswotError, match="is a link"):
        compress(folder, tmp_path / "x.tar.zst")


@pytest.mark.parametrize("part", [0.3, 0.9, 0.99999])
def test_an_archive_that_was_cut_short_is_refused_wherever(archive: Path, part: float, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[: min(int(len(whole) * part), len(whole) - 1)])
    with pytest.raises(NaswotError, match=r"not a whole \.tar\.zst archive"):
        unpack(archive, tmp_path / "other")


def test_an_archive_with_a_flipped_byte_is_refused(archive: Path, tmp_path: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(NaswotError, match=r"not a whole \.tar\.zst archive"):
        unpack(archive, tmp_path / "other")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("<!doctype html>")
    with pytest.raises(NaswotError, match=r"x is not a whole \.tar\.zst archive"):
        unpack(tmp_path / "x", tmp_path / "other")
    (tmp_path / "y").write_bytes(zstandard.compress(b"no tar"))
    with pytest.raises(NaswotError, match="y "):
        unpack(tmp_path / "y", tmp_path / "other")
    with pytest.raises(NaswotError, match="No such file"):
        unpack(tmp_path / "z", tmp_path / "other")


def _member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
    return member


@pytest.mark.parametrize(
    "member",
    [
        _member("/tmp/naswot/x"),
        _member("naswot/../../x"),
        _member("other/x"),
        _member("naswot"),
        _member("naswot/x", tarfile.SYMTYPE),
        _member("naswot/x", tarfile.LNKTYPE),
        _member("naswot/x", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name} {member.type!r}",
)
def test_nothing_but_files_in_the_one_folder_is_unpacked(member: tarfile.TarInfo, tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(member)
    (tmp_path / "bad.tar.zst").write_bytes(zstandard.compress(content.getvalue()))
    with pytest.raises(NaswotError, match="is none that `snakemake archive` wrote"):
        unpack(tmp_path / "bad.tar.zst", tmp_path / "other")
    assert not list((tmp_path / "other").rglob("*"))


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(_member("naswot/x"))
        tar.addfile(_member("naswot/x"))
    (tmp_path / "bad.tar.zst").write_bytes(zstandard.compress(content.getvalue()))
    with pytest.raises(NaswotError, match="twice"):
        unpack(tmp_path / "bad.tar.zst", tmp_path / "other")


def _tar(*members: tuple[str, bytes], end: bool = True) -> bytes:
    content = io.BytesIO()
    tar = tarfile.open(fileobj=content, mode="w")  # noqa: SIM115 (closing it writes its end)
    for name, text in members:
        member = tarfile.TarInfo(name)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    if end:
        tar.close()
    return content.getvalue()


_SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "naswot/x"}


def _sparse(**others: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("naswot/x")
        member.pax_headers = {**_SPARSE, **others}
        tar.addfile(member)
    return content.getvalue()


def test_a_file_with_a_hole_is_not_unpacked(tmp_path: Path) -> None:
    large = 1 << 50
    content = _sparse(**{"GNU.sparse.realsize": str(large), "GNU.sparse.map": f"{large},0"})
    (tmp_path / "bad.tar.zst").write_bytes(zstandard.compress(content))
    with pytest.raises(NaswotError, match="is not a whole"):
        unpack(tmp_path / "bad.tar.zst", tmp_path / "other")


def test_zeros_without_end_are_refused_before_they_fill_memory_or_disk(tmp_path: Path) -> None:
    member = tarfile.TarInfo("naswot/x")
    member.size = 1 << 34
    compressor = zstandard.ZstdCompressor().compressobj()
    with open(tmp_path / "bad.tar.zst", "wb") as file:
        file.write(compressor.compress(member.tobuf()))
        # An eighth of what the member says: none of it may matter.
        for _ in range(1 << 8):
            file.write(compressor.compress(bytes(1 << 23)))
        file.write(compressor.flush())
    tracemalloc.start()
    with pytest.raises(NaswotError, match=r"more than 1,000 times as large.*Fetch or make it again"):
        unpack(tmp_path / "bad.tar.zst", tmp_path / "other")
    assert tracemalloc.get_traced_memory()[1] < 1 << 28
    tracemalloc.stop()
    assert (tmp_path / "other/naswot/x").stat().st_size <= 1 << 28


_GOOD = _tar(("naswot/a", b"good"))
_PACK = zstandard.ZstdCompressor(write_checksum=True).compress


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_PACK(_tar(("naswot/a", b"good"), end=False)) + _PACK(_tar(("naswot/a", b"other"))), "goes on behind its end"),
        (_PACK(_GOOD) + b"more", "goes on behind its end"),
        (_PACK(_GOOD) + bytes(1 << 17), "goes on behind its end"),
        (_PACK(_GOOD + _tar(("naswot/a", b"other"))), "holds more behind the end of its tar"),
        (_PACK(_GOOD + bytes(1 << 20) + b"more"), "holds more behind the end of its tar"),
        (_PACK(_tar(("naswot/a", b"good"), end=False) + b"x" * 512), "holds more behind the end of its tar"),
        (_PACK(_tar(("naswot/x", b"1"), ("naswot/x/y", b"2"))), "cannot be read or unpacked"),
        (_PACK(_tar(("naswot/x/y", b"1"), ("naswot/x", b"2"))), "cannot be read or unpacked"),
        (_PACK(_tar(("naswot/" + "x" * 300, b"1"))), "cannot be read or unpacked"),
        (_PACK(_sparse(**{"GNU.sparse.realsize": "abc"})), "is not a whole"),
        (_PACK(_sparse()), "is not a whole"),
    ],
)
def test_what_other_programs_would_unpack_otherwise_is_refused_in_a_sentence(
    content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.tar.zst").write_bytes(content)
    with pytest.raises(NaswotError, match=said):
        unpack(tmp_path / "bad.tar.zst", tmp_path / "other")


def test_zeros_may_stand_behind_the_end_of_a_tar(tmp_path: Path) -> None:
    (tmp_path / "good.tar.zst").write_bytes(_PACK(_GOOD + bytes(1 << 20)))
    assert (unpack(tmp_path / "good.tar.zst", tmp_path / "other") / "a").read_bytes() == b"good"


def test_a_full_temporary_disk_is_told_with_what_to_set(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("naswot_ext.archive.container.shutil.copyfileobj", full)
    with pytest.raises(NaswotError, match=r"does not fit into .*Set TMPDIR to a folder on a larger disk\."):
        unpack(archive, tmp_path / "other")
