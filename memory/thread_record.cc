#include "memory/thread_record.h"

#include <pthread.h>
#include <unistd.h>

#include "memory/asymmetric_fence.h"
#include "memory/check.h"

namespace vmwire {
namespace {

// Threads that have a record, or are about to take one.
constinit std::atomic<size_t> registered = 0;

}  // namespace

size_t ThreadRecord::Registered() { return registered.load(std::memory_order_acquire); }

ThreadRecord* ThreadRecord::Take() {
  for (ThreadRecord* record = all_.load(std::memory_order_acquire); record != nullptr;
       record = record->next) {
    bool taken = false;
    if (record->taken.compare_exchange_strong(taken, true, std::memory_order_acq_rel)) {
      return record;
    }
  }
  auto* const record = new ThreadRecord;
  record->taken.store(true, std::memory_order_relaxed);
  record->next = all_.load(std::memory_order_relaxed);
  while (!all_.compare_exchange_weak(record->next, record, std::memory_order_seq_cst)) {
  }
  return record;
}

void ThreadRecord::Register() {
  PrepareFences();
  // A key of pthreads and not a thread_local object: its destructor runs after those of all
  // thread_local objects, and once more if one of another key registers the thread anew.
  static const pthread_key_t key = [] {
    pthread_key_t made;
    VMWIRE_CHECK(pthread_key_create(&made, &ThreadRecord::Leave) == 0,
                 "this process has no pthread key left for vmwire");
    return made;
  }();
  // Before the record is used: who finds the count without this thread comes before all that the
  // thread will read (FenceOtherThreads).
  registered.fetch_add(1, std::memory_order_seq_cst);
  ThreadRecord* const record = Take();
  record->thread_id = gettid();
  VMWIRE_CHECK(pthread_setspecific(key, record) == 0, "no memory to register a thread");
  current_ = record;
}

void ThreadRecord::Leave(void* leaving) {
  auto* const record = static_cast<ThreadRecord*>(leaving);
  VMWIRE_CHECK(!record->InSection(), "a thread ended inside a read section");
  current_ = nullptr;
  record->taken.store(false, std::memory_order_release);
  registered.fetch_sub(1, std::memory_order_seq_cst);
}

void FenceOtherThreads() {
  const size_t own = ThreadRecord::CurrentIfAny() != nullptr ? 1 : 0;
  // All changes of the count are read-modify-writes, so they have one order. A thread that counts
  // itself after this one synchronizes with it, and sees what the caller stored; one that counted
  // itself before is seen here.
  if (registered.fetch_add(0, std::memory_order_seq_cst) == own) return;
  HeavyFence();
}

}  // namespace vmwire
