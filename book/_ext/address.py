"""A Sphinx extension: everything that needs the public address follows from `repository.url`.

Without an address there is nothing to launch or to link to, and the buttons that would are absent.
"""

import re

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError


def site(repository: str) -> str:
    """Where the hosting service publishes the pages of a repository."""
    found = re.fullmatch(r"https://github\.com/([\w-]+)/([\w.-]+?)/?", repository)
    if not found:
        raise ConfigError(f"repository.url is {repository!r}, not https://github.com/OWNER/NAME")
    owner, name = found.groups()
    return f"https://{owner.lower()}.github.io/{name}/"


def follow(app: Sphinx, config: Config) -> None:
    """Set what depends on the address; a `html.baseurl` that is given stays."""
    options = config.html_theme_options
    repository = options.get("repository_url", "")
    options["use_repository_button"] = bool(repository)
    if repository:
        config.html_baseurl = config.html_baseurl or site(repository)
    else:
        options.pop("launch_buttons", None)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("config-inited", follow)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
