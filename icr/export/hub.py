"""Pushing a folder to a hub. The token comes from the environment or the login, and is never looked at here."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import HFValidationError, validate_repo_id

from icr.errors import ConfigError, RunError, one_line


def check_login(repository: str) -> None:
    """Refuse what would fail only after hours of merging: a bad name, no network, no login.

    Raises:
        ConfigError: `repository` is not `owner/name`, or nobody is logged in.
        RunError: the hub cannot be reached, or does not take the login.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ConfigError(f"--push: {error}") from error
    if repository.count("/") != 1:
        raise ConfigError(f"--push must be owner/name, got {repository!r}.")
    try:
        HfApi().whoami()
    except LocalTokenNotFoundError as error:
        raise ConfigError("--push needs a login: `hf auth login`, or a token in the variable HF_TOKEN.") from error
    except (HTTPError, OSError) as error:
        raise RunError(_refused(repository, error)) from error


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload `folder` to `repository`, which is created if it is not there; returns its address.

    Raises:
        RunError: the hub cannot be reached, or refuses.
    """
    api = HfApi()
    try:
        # None leaves it to the owner, some of whom are private by default.
        address = api.create_repo(repository, private=private or None, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Model exported by icr")
    except (HTTPError, OSError) as error:
        raise RunError(_refused(repository, error)) from error
    return str(address)


def _refused(repository: str, error: Exception) -> str:
    if isinstance(error, OfflineModeIsEnabled):
        return f"--push {repository}: HF_HUB_OFFLINE forbids the network; unset it to push."
    return f"--push {repository}: the hub cannot be reached or refuses ({one_line(error)})."
