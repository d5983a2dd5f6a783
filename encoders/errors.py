"""What can go wrong with a picture.

Every failure of this package is one ``PictureError``; ``code`` says which. The codes as a tree
(``*`` marks the retryable ones, where the same input may well succeed on another try):

    PictureError
    ├── the file is refused before it is decoded
    │   ├── source_missing        the file is gone
    │   ├── unsupported_type      its bytes are none of the accepted types
    │   ├── empty_picture         no bytes, or a width or height of zero
    │   ├── too_many_pixels       width x height x frames is over the limit
    │   ├── side_too_long         width or height is over the limit
    │   └── too_many_frames       the animation or document is over the limit
    ├── the file cannot be decoded
    │   └── damaged_picture       truncated or broken data; the message says what
    ├── the conversion was stopped
    │   ├── conversion_timeout    wall clock or CPU time ran out
    │   ├── out_of_memory         the decoder asked for more than it may have
    │   ├── machine_short *       no memory, processes, open files or room left at this moment
    │   ├── decoder_killed *      the child process was killed, as by the kernel for its memory
    │   ├── decoder_crashed *     the child process died; the message names the signal
    │   └── conversion_failed     an unforeseen error inside the child
    └── the result cannot be made
        ├── decoder_unavailable   ImageMagick is not installed; the message names the package
        ├── font_unavailable      the font of a watermark is gone or broken
        ├── encode_failed         an encoder refused the picture
        ├── output_too_large      a rendition is over the size limit of one file
        └── disk_full *           the disk has no room for the rendition
"""

RETRYABLE = frozenset({"machine_short", "decoder_killed", "decoder_crashed", "disk_full"})


class PictureError(Exception):
    """A picture that could not be converted.

    ``code`` is stable and meant for programs, ``message`` for people: it names the cause and
    holds neither paths nor secrets.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def retryable(self) -> bool:
        """Whether trying the same input again can help."""
        return self.code in RETRYABLE

    def __reduce__(self) -> tuple[type["PictureError"], tuple[str, str]]:
        return PictureError, (self.code, self.message)


def damaged(message: str) -> PictureError:
    """The commonest error: data that is truncated or broken."""
    return PictureError("damaged_picture", message)
