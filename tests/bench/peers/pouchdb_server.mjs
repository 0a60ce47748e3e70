// node pouchdb_server.mjs FOLDER PORT: express-pouchdb over LevelDB, with what replication needs and no more.
import expressPouchDB from 'express-pouchdb'
import PouchDB from 'pouchdb-node'

const [folder, port] = process.argv.slice(2)
const options = { mode: 'minimumForPouchDB', inMemoryConfig: true, logPath: `${folder}/log.txt` }
// The app itself listens: put into an app of express 5, its routes fail on a read-only query.
expressPouchDB(PouchDB.defaults({ prefix: `${folder}/` }), options).listen(Number(port), '127.0.0.1')
