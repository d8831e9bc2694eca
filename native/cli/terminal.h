/* The program's surroundings: terminals, standard streams, Ctrl-C. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>

typedef enum terminal_stream { STREAM_IN = 0, STREAM_OUT = 1, STREAM_ERROR = 2 } terminal_stream;

bool terminal_is(terminal_stream stream);

/* At the start of the program: makes the standard streams safe to use whatever they are. */
void terminal_prepare_streams(void);

/* From now on Ctrl-C is noted instead of ending the program, once. */
void interrupt_catch_key(void);
/* And so is a request to end (SIGTERM). */
void interrupt_catch(void);
bool interrupted(void);

#endif
