"""What can be done about a failed job, by its error code; the message says what went wrong."""

_NEW_PICTURE = "Upload another picture: this one fails each time."
_OTHER_LIMITS = "Upload a smaller picture, or raise the limit and replay the job."
_OUR_FAULT = "Look into the server's log, then replay the job; if it fails again, report it."

ADVICE = {
    "unsupported_type": _NEW_PICTURE,
    "empty_picture": _NEW_PICTURE,
    "damaged_picture": _NEW_PICTURE,
    "encode_failed": "Ask for another format or size, or upload another picture.",
    "too_many_pixels": _OTHER_LIMITS,
    "side_too_long": _OTHER_LIMITS,
    "too_many_frames": _OTHER_LIMITS,
    "output_too_large": "Ask for a smaller size or a lower quality.",
    "conversion_timeout": "Ask for less, or raise PIXERVE_JOB_TIMEOUT and replay the job.",
    "out_of_memory": "Upload a smaller picture, or raise PIXERVE_MEMORY_MB and replay the job.",
    "decoder_killed": "Replay the job once the machine has memory to spare; the kernel's log says"
    " what it killed. If it happens often, lower PIXERVE_MEMORY_MB.",
    "decoder_crashed": "Replay the job once; if it fails again, the picture is to blame.",
    "conversion_failed": _OUR_FAULT,
    "internal_error": _OUR_FAULT,
    "decoder_unavailable": "Install ImageMagick, then replay the job.",
    "font_unavailable": "Bring the font back, then replay the job.",
    "machine_short": "Give the machine memory, processes, open files or disk space as the message"
    " says, then replay the job.",
    "disk_full": "Make room on the disk of the data folder, then replay the job.",
    "hosting_failed": "See that the serve folder takes files, then replay the job.",
    "path_refused": "Remove what is in the way in the serve folder, then replay the job.",
    "delivery_failed": "Mend the storage, then replay the job: only what is missing is sent.",
    "credential_unreadable": "Bring the old key back or write the credential's secret anew, then"
    " replay the job.",
    "worker_lost": "Look into the server's log for what killed the workers, then replay the job.",
    "source_missing": "Upload the picture again.",
}
GONE = "Its upload is no longer kept; upload the picture again."


def advice(code: str, *, replayable: bool) -> str:
    """One sentence for a person; "" where nothing is known to help."""
    found = ADVICE.get(code, "")
    return GONE if not replayable and "replay" in found.lower() else found
