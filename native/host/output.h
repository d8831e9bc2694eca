/* What the files about outputs share. */
#ifndef HB_HOST_OUTPUT_H
#define HB_HOST_OUTPUT_H

#include "host.h"

typedef struct host_journal host_journal;

struct hb_output {
  FILE *stream;
  char *path;            /* where it will stand; symbolic links are followed */
  char *temporary;       /* where it is written, or NULL: at its place */
  host_journal *journal; /* NULL: no run can go on with it */
  bool committed;
};

/* Everything written is on the disk. */
bool hb_host_flush(FILE *stream);

/* Opens output->temporary and the journal beside it. */
hb_status hb_host_journal_open(hb_output *output, bool resume, hb_error *error);
/* Whether what was written is worth keeping, or was there before and was not touched. */
bool hb_host_journal_keeps(const host_journal *journal);
void hb_host_journal_remove(host_journal *journal);
/* NULL is fine. */
void hb_host_journal_close(host_journal *journal, bool keep);

#endif
