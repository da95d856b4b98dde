"""Package metadata: every fact stands in settings.ini, this file only hands it to setuptools."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read(Path(__file__).parent / "settings.ini", encoding="utf8")
settings = config["DEFAULT"]

setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf8"),
    long_description_content_type="text/markdown",
    author=settings["author"],
    license="Apache-2.0",
    keywords=settings["keywords"],
    python_requires=f">={settings['min_python']}",
    packages=find_packages(include=["ppde_nbdev", "ppde_nbdev.*"]),
    package_data={"ppde_nbdev": ["data/*"]},
    install_requires=settings["requirements"].split(),
    extras_require={
        "offline": settings["offline_requirements"].split(),
        "export": settings["export_requirements"].split(),
        "dev": settings["dev_requirements"].split() + settings["export_requirements"].split(),
    },
    entry_points={"console_scripts": settings["console_scripts"].split()},
)
