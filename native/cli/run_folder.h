/* The folder of a training run: its result, checkpoint.gguf, log.jsonl and training.html. A file
 * there is whole or not at all; a process that is killed may leave NAME.unfinished, which the next
 * one takes. */
#ifndef CLI_RUN_FOLDER_H
#define CLI_RUN_FOLDER_H

#include "common.h"

typedef struct run_folder {
  const char *path;
  const char *name;  /* of the result: model.gguf, adapter.gguf */
  hb_output *result; /* open from the beginning, which keeps other runs out */
  bool has_checkpoint;
  bool made; /* was not there before */
} run_folder;

/* Opens the folder, or makes it. What another run left stays: a checkpoint is only taken to resume
 * it, and a result without one never. Says what is wrong; here and below. */
bool run_folder_open(const char *path, const char *name, bool resume, run_folder *out);
/* A folder that was made and has nothing in it goes away. */
void run_folder_close(run_folder *folder);

/* The path of a file there, for free(). */
char *run_folder_file(const run_folder *folder, const char *name);

typedef hb_status (*run_writer)(void *context, const hb_sink *sink, hb_error *error);

/* Writes a file, in the place of the one that may be there. */
bool run_folder_write(const run_folder *folder, const char *name, run_writer write, void *context);
/* Writes the result, once. */
bool run_folder_write_result(run_folder *folder, run_writer write, void *context);

#endif
