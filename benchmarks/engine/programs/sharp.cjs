// sharp. Arguments: "output" (a pipeline from the file for each output) or "once" (decode and bring
// to the largest size once, every output from those pixels), and the number of threads.
const readline = require("node:readline");
const sharp = require("sharp");

const [mode, threads] = [process.argv[2], Number(process.argv[3])];
sharp.concurrency(threads);
// A repeated job must not be answered from the cache of operations.
sharp.cache(false);

function save(pipeline, { format, quality, effort, path }) {
  const encoded = {
    jpg: () => pipeline.jpeg({ quality }),
    webp: () => pipeline.webp(effort === null ? { quality } : { quality, effort }),
    avif: () =>
      pipeline.avif({
        quality,
        chromaSubsampling: "4:2:0",
        ...(effort === null ? {} : { effort: 9 - effort }),
      }),
    png: () => pipeline.png(effort === null ? {} : { compressionLevel: effort }),
  }[format]();
  return encoded.toFile(path);
}

const fit = ({ width, height }) => ({ width, height, fit: "inside", withoutEnlargement: true });

async function base(source, outputs) {
  const largest = {
    width: Math.max(...outputs.map((each) => each.width)),
    height: Math.max(...outputs.map((each) => each.height)),
  };
  const { data, info } = await sharp(source)
    .autoOrient()
    .resize(fit(largest))
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  return () => sharp(data, { raw: { width, height, channels } });
}

async function work({ source, outputs }) {
  const animated = source.endsWith(".webp");
  const open =
    mode === "once" && !animated
      ? await base(source, outputs)
      : () => sharp(source, { animated }).autoOrient();
  const one = (output) => save(open().resize(fit(output)), output);
  if (threads > 1) {
    await Promise.all(outputs.map(one));
  } else {
    for (const output of outputs) await one(output);
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer = {};
    try {
      await work(JSON.parse(line));
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(JSON.stringify({ ...answer, cpu_s: 0, rss: 0 }) + "\n");
  }
})();
