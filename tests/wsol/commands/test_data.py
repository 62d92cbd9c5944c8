from pathlib import Path

import pytest
from tiny_datasets import cub_archive, mask, picture, write_files, write_tar

from wsol.commands.data import main


def outcome(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as error:
        code = int(error.code or 0)
    output = capsys.readouterr()
    return code, output.out, output.err


def test_prepare_list_and_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = write_tar(tmp_path / "tiny.tgz", cub_archive(), "gz")
    root = tmp_path / "data"
    code, out, _ = outcome(capsys, "prepare", "cub", "--archive", archive, "--root", root)
    assert code == 0
    assert "val is a held-out part of train" in out
    code, out, _ = outcome(capsys, "list", "--root", root)
    row = next(line for line in out.splitlines() if "cub" in line)
    assert row.split()[:4] == ["cub", "2", "2", "3"]
    code, out, err = outcome(capsys, "check", "cub", "--root", root)
    assert code == 1
    assert "number of images" in out
    assert err.splitlines()[-1].startswith("error: cub: ")


def test_check_of_healthy_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"test/{c}/a.jpg": picture(c, 30, 20) for c in ("cup", "mug")}
    write_files(tmp_path, files | {f"test_masks/{c}/a.png": mask(30, 20, (1, 1, 5, 5)) for c in ("cup", "mug")})
    code, out, _ = outcome(capsys, "check", tmp_path, "--split", "test")
    assert (code, out) == (0, f"{tmp_path}: 0 errors, 0 warnings, 0 notes\n")


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tmp_path, cub_archive())
    code, _, _ = outcome(capsys, "export", "cub", "--root", tmp_path, "--output", tmp_path / "lists", "--split", "test")
    assert code == 0
    assert (tmp_path / "lists/test/image_sizes.txt").read_text().splitlines()[0].endswith("_0046_18.jpg,500,335")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prepare", "cubb"], 2, "error: unknown dataset 'cubb'; valid: cub, "),
        (["check", "cub", "--root", "nowhere"], 1, "error: no cub train data below nowhere; get it from https://"),
        (["prepare", "cub", "--root", "{tmp}"], 1, "error: {tmp}: no usable cub yet; still needed: CUB_200_2011.tgz"),
        (["export", "nothing", "--output", "x"], 2, "error: unknown dataset 'nothing'"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _, err = outcome(capsys, *(a.replace("{tmp}", str(tmp_path)) for a in arguments))
    assert found == code
    assert len(err.splitlines()) == 1
    assert err.startswith(message.replace("{tmp}", str(tmp_path)))


@pytest.mark.parametrize("arguments", [[], ["prepare"], ["check", "cub", "--split", "tset"], ["lst"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = outcome(capsys, *arguments)
    assert code == 2
    assert err
