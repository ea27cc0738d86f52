import pytest

from autoscaler.runtime.programs import cache_folder, find


def put(folder, name="hey"):
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HEY", raising=False)
    return tmp_path


def test_a_program_that_is_nowhere_is_not_found(folder):
    assert find("hey") is None


def test_a_program_in_the_cache_folder_is_found(folder):
    program = put(folder / "cache" / "inflight" / "bin")
    assert find("hey") == program


def test_the_program_on_the_path_goes_before_the_one_in_the_cache_folder(folder):
    put(cache_folder() / "bin")
    on_path = put(folder / "path")
    assert find("hey") == on_path


def test_the_program_that_the_user_names_goes_before_all_others(folder, monkeypatch):
    put(folder / "path")
    monkeypatch.setenv("HEY", str(named := put(folder / "elsewhere", "my-hey")))
    assert find("hey") == named


def test_the_user_may_name_another_command_on_the_path(folder, monkeypatch):
    other = put(folder / "path", "hey-0.1.5")
    monkeypatch.setenv("HEY", "hey-0.1.5")
    assert find("hey") == other


def test_whoever_names_a_program_that_is_none_is_told_so_and_gets_no_other(folder, monkeypatch):
    put(folder / "path")
    monkeypatch.setenv("HEY", "/nowhere/hey")
    with pytest.raises(FileNotFoundError, match="HEY=/nowhere/hey names no program"):
        find("hey")


def test_a_file_that_cannot_be_run_is_no_program(folder):
    put(folder / "path").chmod(0o644)
    assert find("hey") is None


def test_without_a_cache_variable_the_cache_is_in_the_home_folder(folder, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(folder))
    assert cache_folder() == folder / ".cache" / "inflight"
