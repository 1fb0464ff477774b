"""What goes wrong in this room."""


class GeoError(Exception):
    """A file that cannot be used; `problems` names file, line and why: all of them at once."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
