// Gives every thread of a process a stack of 4 GB (address space; memory is taken as it is used).
//
// libtpu asks for 2 MB for the threads of its compiler, whatever `ulimit -s` says, and overflows them on the largest
// programs (docs/TPU.md). To compile and use:
//
//     cc -shared -fPIC -O1 -o deep_stacks.so benchmarks/deep_stacks.c -ldl
//     LD_PRELOAD=$PWD/deep_stacks.so dynamicid plan ...
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>

static const size_t STACK = 4ul << 30;

int pthread_create(pthread_t *thread, const pthread_attr_t *asked, void *(*start)(void *), void *argument) {
  static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!create) create = dlsym(RTLD_NEXT, "pthread_create");
  pthread_attr_t deep;
  if (asked) deep = *asked;
  else pthread_attr_init(&deep);
  pthread_attr_setstacksize(&deep, STACK);
  int failed = create(thread, &deep, start, argument);
  return failed ? create(thread, asked, start, argument) : 0;
}
