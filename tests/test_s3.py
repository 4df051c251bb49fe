"""Stored files in a bucket: a real S3 server on loopback, in an environment that has s3fs and moto."""

from pathlib import Path

import pytest

from tests.environments import INSTALL_SECONDS, run
from tests.wheels import environment_with

S3 = ("s3fs==2026.9.0", "aiobotocore==3.10.0", "moto[server]==5.2.5", "boto3==1.43.117", "botocore==1.43.117")
SCRIPT = Path(__file__).with_name("s3_store.py")


@pytest.mark.environment
@pytest.mark.timeout(INSTALL_SECONDS)
def test_a_bucket_holds_files_as_a_folder_does(wheel: Path, tmp_path: Path) -> None:
    """Torn uploads, parts, broken and missing files, deletion by name, a server that is away."""
    programs = environment_with(tmp_path, wheel, "files")
    # Without our constraints, whose python-dateutil boto does not take.
    run(tmp_path, programs / "python", "-m", "pip", "install", "--quiet", *S3)
    assert "all of it holds" in run(tmp_path, programs / "python", SCRIPT)
