"""Print what wsol needs except OpenCV, one requirement a line, for environments that have an OpenCV already.

pip install --no-deps .
python scripts/requirements_without_opencv.py > requirements.txt && pip install -r requirements.txt
"""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def main() -> None:
    requirements = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    print("\n".join(one for one in requirements if not one.startswith("opencv")))


if __name__ == "__main__":
    main()
