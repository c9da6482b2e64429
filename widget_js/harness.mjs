// Serves the built view over a mocked model at a loopback address, to look at while working: `npm run harness`.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname } from "node:path";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
const root = new URL("../", import.meta.url);
const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  const found = /^\/(page|static)\/([\w.]+)$/.exec(path === "/" ? "/page/index.html" : path);
  try {
    if (found === null) throw new Error(path);
    const file = new URL(found[1] === "page" ? `tests/view_page/${found[2]}` : `text_lloom/widget/static/${found[2]}`, root);
    const body = await readFile(file);
    response.writeHead(200, { "content-type": TYPES[extname(file.pathname)] ?? "text/plain" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
server.listen(Number(process.env.PORT ?? 8123), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/?docs=400`));
