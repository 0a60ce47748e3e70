// node tus_client.mjs FILE OPTIONS: upload with tus-js-client, print the upload's URL.
// The option resumeAfter stops after so many bytes and goes on with a new client.
import { readFileSync } from 'node:fs'
import { Upload } from 'tus-js-client'

const [file, json] = process.argv.slice(2)
const { resumeAfter, ...options } = JSON.parse(json)

const run = (more) =>
  new Promise((resolve, reject) => {
    const upload = new Upload(readFileSync(file), {
      retryDelays: [0, 100],
      ...options,
      ...more,
      onError: reject,
      onSuccess: () => resolve(upload.url),
      onChunkComplete: (_size, sent) => {
        if (more.stopAfter && sent >= more.stopAfter) upload.abort().then(() => resolve(upload.url))
      },
    })
    upload.start()
  })

let url = null
if (resumeAfter) url = await run({ stopAfter: resumeAfter })
console.log(await run(url ? { uploadUrl: url } : {}))
