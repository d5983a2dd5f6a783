// The server writes times in UTC; this shows them in the reader's own zone.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const inOwnZone = new Intl.DateTimeFormat(undefined, {
    month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23",
  });
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.textContent = inOwnZone.format(new Date(time.dateTime));
  }
});
