// node tus_server.mjs FOLDER PORT: @tus/server with its file store, as its documentation sets it up.
import { Server } from '@tus/server'
import { FileStore } from '@tus/file-store'

const [folder, port] = process.argv.slice(2)
new Server({ path: '/files', datastore: new FileStore({ directory: folder }) }).listen({
  host: '127.0.0.1',
  port: Number(port),
})
