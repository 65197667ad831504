"""Names that become names of folders: of studies, and of artefacts."""

LONGEST_BYTES = 200
"""File systems end at 255; what is unfinished has a longer name than what it becomes."""
_DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}


def is_folder_name(name: str) -> bool:
    """Whether a folder of this name can be made and lies where it is made, on any system.

    False for ``..`` and ``.``, for slashes of both kinds, characters that cannot be printed (NUL,
    line ends), blanks or dots at the end, names of devices such as ``nul.txt``, and names that are
    empty or longer than `LONGEST_BYTES` in UTF-8.
    """
    return (
        name.isprintable()
        and not {"/", "\\"} & set(name)
        and name == name.strip().rstrip(".")
        and name.split(".")[0].strip().lower() not in _DEVICES
        and 0 < len(name.encode("utf-8", "replace")) <= LONGEST_BYTES
    )
