// Imports a Postman collection as Bruno does: node bruno.cjs collection.json FOLDER
const { mkdirSync, readFileSync } = require("node:fs");
const { postmanToBruno } = require("@usebruno/converters");
const { createCollectionFromBrunoObject } = require("@usebruno/cli/src/utils/collection");

const [file, folder] = process.argv.slice(2);
mkdirSync(folder);
postmanToBruno(JSON.parse(readFileSync(file, "utf8")))
  .then(({ collection }) => createCollectionFromBrunoObject(collection, folder, { format: "bru" }));
