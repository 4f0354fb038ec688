"""The box's folders are private, and say so when they are not."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from covend.host.folders import FolderError, Folders, read_private, replace_private


def test_folders_are_created_private_and_open_again(tmp_path: Path) -> None:
    folders = Folders.open(tmp_path / "a" / "run", tmp_path / "a" / "state")
    for path in (folders.run, folders.state, folders.wire, folders.intents, folders.units):
        assert path.stat().st_mode & 0o777 == 0o700
    assert Folders.open(folders.run, folders.state) == folders


def test_a_folder_open_to_others_is_refused_with_the_remedy(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o755)
    with pytest.raises(FolderError, match=f"mode 0755.*chmod 700 {run}"):
        Folders.open(run, tmp_path / "state")


def test_a_link_or_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(FolderError, match="not a folder"):
        Folders.open(tmp_path / "link", tmp_path / "state")
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be made a folder"):
        Folders.open(tmp_path / "file", tmp_path / "state")


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Folders.open(tmp_path / "run", tmp_path / "state")
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(FolderError, match=f"belongs to user {me}"):
        Folders.open(tmp_path / "run", tmp_path / "state")


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="shorter run_dir"):
        Folders.open(tmp_path / ("x" * 100), tmp_path / "state")


def test_one_box_at_a_time_claims_a_run_folder(tmp_path: Path) -> None:
    folders = Folders.open(tmp_path / "run", tmp_path / "state")
    claim = folders.claim()
    with pytest.raises(FolderError, match=f"pid {os.getpid()}"):
        folders.claim()
    claim.close()
    claim.close()
    folders.claim().close()


def test_one_state_is_of_one_box(tmp_path: Path) -> None:
    """D2, G7: whoever has another XDG_RUNTIME_DIR is told before anything is started."""
    claim = Folders.open(tmp_path / "a", tmp_path / "state").claim()
    elsewhere = Folders.open(tmp_path / "b", tmp_path / "state")
    with pytest.raises(FolderError, match=f"in {tmp_path / 'state'}.*choose another state_dir"):
        elsewhere.claim()
    claim.close()
    elsewhere.claim().close()
    Folders.open(tmp_path / "c", tmp_path / "c").claim().close()


def test_a_private_file_is_replaced_whole_and_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_private(path, b"one")
    replace_private(path, b"two")
    assert read_private(path, 3) == b"two"
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(FolderError, match="2 are allowed"):
        read_private(path, 2)


def test_the_key_is_made_once_and_must_be_private(tmp_path: Path) -> None:
    """W22: whoever can read the key can command the reactor."""
    folders = Folders.open(tmp_path / "run", tmp_path / "state")
    with ThreadPoolExecutor(8) as pool:
        keys = {future.result() for future in [pool.submit(folders.key) for _ in range(8)]}
    assert len(keys) == 1
    assert {len(key) for key in keys} == {32}
    path = folders.run / "intent.key"
    path.chmod(0o640)
    with pytest.raises(FolderError, match=r"mode 0640.*chmod 600"):
        folders.key()
    path.chmod(0o600)
    path.write_bytes(b"x")
    with pytest.raises(FolderError, match="holds 1 bytes"):
        folders.key()
