#include "terminal.h"

#include <signal.h>

#ifdef _WIN32

#include <fcntl.h>
#include <io.h>

bool terminal_is(terminal_stream stream) {
  return _isatty((int)stream) != 0;
}

/* The same bytes on stdin and stdout as on other systems. */
void terminal_prepare_streams(void) {
  _setmode(STREAM_IN, _O_BINARY);
  _setmode(STREAM_OUT, _O_BINARY);
}

#else

#include <fcntl.h>
#include <unistd.h>

bool terminal_is(terminal_stream stream) {
  return isatty((int)stream) != 0;
}

/* A closed pipe becomes a write error. A stream that is closed already becomes one that fails: or
 * else a file opened later would take its number and be printed into. */
void terminal_prepare_streams(void) {
  signal(SIGPIPE, SIG_IGN);
  for (int fd = STREAM_IN; fd <= STREAM_ERROR; fd++) {
    int wrong_way = fd == STREAM_IN ? O_WRONLY : O_RDONLY;
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", wrong_way) != fd) return;
  }
}

#endif

static volatile sig_atomic_t interrupt_seen;

static void note_interrupt(int signal_number) {
  interrupt_seen = 1;
  signal(signal_number, SIG_DFL); /* the second one ends the program */
}

void interrupt_catch_key(void) {
  interrupt_seen = 0;
  signal(SIGINT, note_interrupt);
}

void interrupt_catch(void) {
  interrupt_catch_key();
  signal(SIGTERM, note_interrupt);
}

bool interrupted(void) {
  return interrupt_seen != 0;
}
