#include "run_folder.h"
#include "host/host.h"
#include "import/shards.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *run_folder_file(const run_folder *folder, const char *name) {
  char *path = hb_folder_path(folder->path, hb_string_of(name));
  if (!path) cli_fail("no memory for a path");
  return path;
}

/* ---- Writing ---- */

static hb_status write_bytes(void *output, const void *bytes, size_t count, hb_error *error) {
  return hb_output_write(output, bytes, count, error);
}

/* Drops what a killed process left in it, and fills it. */
static hb_status fill(hb_output *output, run_writer write, void *context, hb_error *error) {
  const hb_journal *journal = hb_output_journal(output);
  const hb_mark nothing = {0};
  hb_sink sink = {output, write_bytes};
  if (journal) HB_TRY(journal->keep(journal->context, &nothing, error));
  HB_TRY(write(context, &sink, error));
  return hb_output_commit(output, error);
}

static bool finish(hb_output *output, run_writer write, void *context) {
  hb_error error;
  hb_status status = fill(output, write, context, &error);
  hb_output_destroy(output);
  if (status != HB_OK) cli_fail_error(&error);
  return status == HB_OK;
}

static hb_output *open_output(const run_folder *folder, const char *name) {
  hb_output *output = NULL;
  hb_error error;
  char *path = run_folder_file(folder, name);
  if (path && hb_output_create_journaled(path, 0, &output, &error) != HB_OK) cli_fail_error(&error);
  free(path);
  return output;
}

bool run_folder_write(const run_folder *folder, const char *name, run_writer write, void *context) {
  hb_output *output = open_output(folder, name);
  return output && finish(output, write, context);
}

bool run_folder_write_result(run_folder *folder, run_writer write, void *context) {
  hb_output *output = folder->result;
  folder->result = NULL;
  return finish(output, write, context);
}

/* ---- Opening ---- */

static bool has(const run_folder *folder, const char *name, bool *out) {
  char *path = run_folder_file(folder, name);
  *out = path && hb_host_exists(path);
  free(path);
  return path != NULL;
}

static bool check(const run_folder *folder, bool resume, bool has_result) {
  if (folder->has_checkpoint && !resume) {
    cli_fail("%s has the checkpoint of a run: --resume goes on with it, another run needs another "
             "folder",
             folder->path);
    return false;
  }
  if (has_result && !folder->has_checkpoint) {
    cli_fail("%s has a %s already: a run needs a folder of its own", folder->path, folder->name);
    return false;
  }
  return true;
}

bool run_folder_open(const char *path, const char *name, bool resume, run_folder *out) {
  bool has_result;
  *out = (run_folder){.path = path, .name = name, .made = !hb_host_is_folder(path)};
  if (!hb_host_make_folder(path)) {
    cli_fail("cannot make the folder %s: %s", path, strerror(errno));
    return false;
  }
  if (!has(out, "checkpoint.gguf", &out->has_checkpoint) || !has(out, name, &has_result) ||
      !check(out, resume, has_result))
    return false;
  out->result = open_output(out, name);
  return out->result != NULL;
}

void run_folder_close(run_folder *folder) {
  hb_output_destroy(folder->result);
  folder->result = NULL;
  if (folder->made) hb_host_remove_folder(folder->path);
}
