"""A curve of bounded size, from however many points."""

Point = tuple[float, float]


class Series:
    """Points of a curve, of which it keeps a bounded number.

    Up to `most` points are kept as they are. When there are more, neighbours are joined
    two by two, and so are those that follow: a point is then the mean of 2, 4, 8, …
    points that came, at the last one's place. What is kept depends on the points alone,
    not on when they came.

    Args:
      most: The largest number of points, an even one.

    Example:
      >>> series = Series(most=4)
      >>> for x in range(5):
      ...     series.add(x, 10.0 * x)
      >>> series.points()
      [(1, 5.0), (3, 25.0), (4, 40.0)]
    """

    def __init__(self, most: int):
        self._most, self._points = most, list[Point]()
        self._each = 1  # how many points that came make one that is kept
        self._place, self._total, self._count = 0.0, 0.0, 0  # of the next one

    def add(self, place: float, value: float) -> None:
        """Adds a point to the right of all others."""
        self._place, self._total = place, self._total + value
        self._count += 1
        if self._count < self._each:
            return
        if len(self._points) == self._most:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [(x, (before + y) / 2) for (_, before), (x, y) in pairs]
            self._each *= 2
            if self._count < self._each:
                return
        self._points.append((place, self._total / self._count))
        self._total, self._count = 0.0, 0

    def points(self) -> list[Point]:
        """The points, from left to right; the last may be of fewer than the others."""
        rest = [(self._place, self._total / self._count)] if self._count else []
        return self._points + rest
