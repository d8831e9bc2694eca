/* Mutex, condition and thread of the system in a few lines: POSIX, and Windows (untested). */
#ifndef HB_HOST_LOCK_H
#define HB_HOST_LOCK_H

#include <stdbool.h>

#ifdef _WIN32

#include <windows.h>

typedef SRWLOCK host_mutex;
typedef CONDITION_VARIABLE host_condition;
typedef HANDLE host_thread;
#define HOST_THREAD_RESULT DWORD WINAPI

static inline bool mutex_init(host_mutex *m) {
  InitializeSRWLock(m);
  return true;
}
static inline void mutex_destroy(host_mutex *m) {
  (void)m;
}
static inline void mutex_lock(host_mutex *m) {
  AcquireSRWLockExclusive(m);
}
static inline void mutex_unlock(host_mutex *m) {
  ReleaseSRWLockExclusive(m);
}
static inline bool condition_init(host_condition *c) {
  InitializeConditionVariable(c);
  return true;
}
static inline void condition_destroy(host_condition *c) {
  (void)c;
}
static inline void condition_wait(host_condition *c, host_mutex *m) {
  SleepConditionVariableSRW(c, m, INFINITE, 0);
}
static inline void condition_wake_all(host_condition *c) {
  WakeAllConditionVariable(c);
}
static inline bool thread_start(host_thread *t, DWORD(WINAPI *run)(void *), void *argument) {
  *t = CreateThread(NULL, 0, run, argument, 0, NULL);
  return *t != NULL;
}
static inline void thread_join(host_thread t) {
  WaitForSingleObject(t, INFINITE);
  CloseHandle(t);
}
static inline void thread_yield(void) {
  SwitchToThread();
}

#else

#include <pthread.h>
#include <sched.h>

typedef pthread_mutex_t host_mutex;
typedef pthread_cond_t host_condition;
typedef pthread_t host_thread;
#define HOST_THREAD_RESULT void *

static inline bool mutex_init(host_mutex *m) {
  return pthread_mutex_init(m, NULL) == 0;
}
static inline void mutex_destroy(host_mutex *m) {
  pthread_mutex_destroy(m);
}
static inline void mutex_lock(host_mutex *m) {
  pthread_mutex_lock(m);
}
static inline void mutex_unlock(host_mutex *m) {
  pthread_mutex_unlock(m);
}
static inline bool condition_init(host_condition *c) {
  return pthread_cond_init(c, NULL) == 0;
}
static inline void condition_destroy(host_condition *c) {
  pthread_cond_destroy(c);
}
static inline void condition_wait(host_condition *c, host_mutex *m) {
  pthread_cond_wait(c, m);
}
static inline void condition_wake_all(host_condition *c) {
  pthread_cond_broadcast(c);
}
static inline bool thread_start(host_thread *t, void *(*run)(void *), void *argument) {
  return pthread_create(t, NULL, run, argument) == 0;
}
static inline void thread_join(host_thread t) {
  pthread_join(t, NULL);
}
static inline void thread_yield(void) {
  sched_yield();
}

#endif

/* Tells the processor that this is a waiting loop. */
static inline void spin_hint(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
