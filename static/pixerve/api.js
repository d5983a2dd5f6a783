// The two calls that the start page makes, and what their refusals say in words.

const { upload: UPLOAD, status: STATUS } = document.body.dataset;

/** A refusal or a failure of the line, in words for a person. */
export class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** problem+json as a sentence; every wrong field where there are several. */
function problemOf(status, text) {
  const body = parse(text);
  const several = Array.isArray(body?.errors) && body.errors.length > 1
    ? body.errors.map((each) => `${each.field}: ${each.message}`).join("; ") : "";
  return new Problem(several || body?.detail || `The server answered with status ${status}.`, status);
}

/** POST the file; `onProgress` hears the share that is sent, 0 to 1. Throws Problem. */
export function upload(file, token, onProgress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("file", file);
    const request = new XMLHttpRequest(); // fetch cannot say how much is sent
    request.open("POST", UPLOAD);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Problem("The server could not be reached, or ended the upload."));
    request.onload = () => request.status === 202
      ? resolve(JSON.parse(request.responseText))
      : reject(problemOf(request.status, request.responseText));
    request.send(form);
  });
}

/** GET the status of an upload. Throws Problem. */
export async function status(hash, token) {
  let answer;
  try {
    answer = await fetch(`${STATUS}?hash=${encodeURIComponent(hash)}`, {
      headers: { Authorization: `Bearer ${token}` }, cache: "no-store",
    });
  } catch {
    throw new Problem("The server could not be reached.");
  }
  const text = await answer.text();
  if (!answer.ok) throw problemOf(answer.status, text);
  return JSON.parse(text);
}
