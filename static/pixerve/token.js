// What an upload token says about itself. Only the server can tell whether it holds.

/** The claims of a JWT, or null where the text is none. */
export function claims(token) {
  const parts = token.split(".");
  if (parts.length !== 3) return null;
  try {
    const binary = atob(parts[1].replace(/-/g, "+").replace(/_/g, "/"));
    const found = JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (c) => c.charCodeAt(0))));
    return found && typeof found === "object" ? found : null;
  } catch {
    return null;
  }
}

function outputs(job) {
  const formats = Object.entries(job?.formats ?? {}).map(([name, each]) => {
    const count = Math.max(1, each?.sizes?.length ?? 0);
    return count > 1 ? `${count} × ${name}` : name;
  });
  return [...formats, ...(job?.keepOriginal ? ["the original"] : [])].join(", ");
}

/** One sentence about a token, and whether it looks usable: {ok, text}. */
export function describe(token) {
  const found = claims(token);
  if (!found) return { ok: false, text: "This does not look like a token: three parts with dots between them." };
  if (!found.job) return { ok: false, text: "This token has no job, so it cannot upload." };
  const expires = new Date(Number(found.exp) * 1000);
  if (!(expires > Date.now())) return { ok: false, text: "This token has expired." };
  return {
    ok: true,
    text: `For ${String(found.sub)}, until ${expires.toLocaleString()}. Makes ${outputs(found.job) || "nothing"}.`,
  };
}
