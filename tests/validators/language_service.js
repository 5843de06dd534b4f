// Says what amazon-states-language-service finds in definitions; exit code 1 if it finds something.
const service = require('amazon-states-language-service');
const { TextDocument } = require('vscode-json-languageservice');
const fs = require('fs');

(async () => {
  const language = service.getLanguageService({});
  let found = 0;
  for (const file of process.argv.slice(2)) {
    const document = TextDocument.create(`file://${file}`, 'json', 1, fs.readFileSync(file, 'utf8'));
    for (const one of await language.doValidation(document, language.parseJSONDocument(document))) {
      found += 1;
      console.log(`${file}:${one.range.start.line + 1}: ${one.message}`);
    }
  }
  process.exit(found === 0 ? 0 : 1);
})();
