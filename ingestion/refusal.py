"""Why a batch or a file is refused: one exception, with a stable code and a sentence in each language.

Put here: the exception and what all its texts share. Put elsewhere: deciding to refuse. A text names file, line,
column, what was expected and how to mend it, and never a value that could identify a person.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Refused(Exception):
    """The batch cannot be taken. `code` is stable, for statistics and tests."""

    code: str
    zh: str
    en: str

    def __str__(self) -> str:
        return f"{self.code}: {self.en}"

    def within(self, file_name: str) -> "Refused":
        """The same reason, naming the file."""
        return Refused(self.code, f"文件 {file_name}:{self.zh}", f"file {file_name}: {self.en}")
