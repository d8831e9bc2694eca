/* Text to train on: files, cut into documents, as tokens. */
#ifndef CLI_CORPUS_H
#define CLI_CORPUS_H

#include "common.h"

typedef struct cli_corpus {
  hb_corpus text; /* both arrays from malloc */
  size_t capacity, document_capacity;
} cli_corpus;

/* Reads the files: of JSON Lines each line is a document; other text is cut at <|endoftext|>, and
 * where a file has none of these, at two or more empty lines. Each document gets the tokens that
 * begin and end a text, as far as the model has them. On failure says so, leaves nothing and
 * returns false. */
bool cli_corpus_read(const hb_source *source, const cli_list *files, cli_corpus *out);
void cli_corpus_free(cli_corpus *corpus);

#endif
