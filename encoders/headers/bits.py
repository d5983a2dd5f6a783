"""Numbers that do not begin at a byte."""

from encoders.errors import damaged

_LONGEST_PREFIX = 32


class Bits:
    """Reads ``data`` from its first bit on. Raises PictureError damaged_picture at its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next ``count`` bits as a number."""
        if count > self._left:
            raise damaged("The coded picture has a header that is too short.")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def flag(self) -> bool:
        """Whether the next bit is set."""
        return bool(self.take(1))

    def exp_golomb(self) -> int:
        """ue(v) of H.265 (section 9.2), uvlc() of AV1 (section 4.10.3)."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > _LONGEST_PREFIX:
                raise damaged("The coded picture has an impossible number in its header.")
        return (1 << zeros) - 1 + self.take(zeros)
