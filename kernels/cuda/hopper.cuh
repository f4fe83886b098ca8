// What Hopper's asynchronous units take: barriers in shared memory, bulk and tiled copies, warpgroup products. Text for NVRTC,
// behind dictionary_tile.cuh.
// Source: PTX ISA 8.x, sections mbarrier, cp.async.bulk, cp.async.bulk.tensor and wgmma.mma_async (docs.nvidia.com/cuda/parallel-thread-execution).
namespace lcnn_device {

using u32 = unsigned;
using u64 = unsigned long long;

__device__ __forceinline__ u32 shared_address(const void* pointer) { return static_cast<u32>(__cvta_generic_to_shared(pointer)); }

// 4 bytes kBytes behind an address of shared memory. Thousands of loads by pointers take the compiler four times as long.
template <typename T, int kBytes>
__device__ __forceinline__ T load_shared(u32 address) {
  u32 bits;
  asm volatile("ld.shared.b32 %0, [%1+%2];" : "=r"(bits) : "r"(address), "n"(kBytes));
  return reinterpret_cast<const T&>(bits);
}

// 16 bytes.
__device__ __forceinline__ uint4 load_shared_words(u32 address) {
  uint4 words;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];" : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w) : "r"(address));
  return words;
}

// Words of 4 bytes, as many as the low half says, behind an address; the high half twice.
__device__ __forceinline__ u32 low_half_words_behind(u32 address, u32 halves) {
  u32 behind;
  asm("dp2a.lo.u32.u32 %0, %1, 4, %2;" : "=r"(behind) : "r"(halves), "r"(address));
  return behind;
}
__device__ __forceinline__ u32 high_half_twice(u32 halves) {
  u32 twice;
  asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\nmov.b32 %0, {high, high};\n}" : "=r"(twice) : "r"(halves));
  return twice;
}

__device__ __forceinline__ void init_barrier(u32 barrier, int arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ __forceinline__ void arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void arrive_expecting(u32 barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
// Waits until the phase of this parity is over.
__device__ __forceinline__ void wait_barrier(u32 barrier, int parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n@done bra over;\nbra again;\nover:\n}" ::"r"(barrier), "r"(parity)
      : "memory");
}

// Blocks of a cluster: which one this is, an address of another's shared memory from the same of one's own, and what goes there.
__device__ __forceinline__ int block_of_cluster() {
  u32 rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ __forceinline__ u32 of_block(u32 address, int block) {
  u32 there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(block));
  return there;
}
// `bytes`, a multiple of 16, of this block's shared memory to another's, whose barrier is told.
__device__ __forceinline__ void copy_to_block(u32 to, u32 from, int bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "r"(from), "r"(bytes), "r"(barrier)
               : "memory");
}
// By one that has read what copies may then write to; what it has written is not published there, which takes a fence of the whole device.
__device__ __forceinline__ void arrive_at(u32 barrier_of_block) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(barrier_of_block) : "memory");
}
__device__ __forceinline__ void meet_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// What threads have written to shared memory is there for copies and products that follow a barrier.
__device__ __forceinline__ void publish_to_async_units() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// `bytes`, a multiple of 16, from memory to shared memory.
__device__ __forceinline__ void bulk_copy(u32 to, const void* from, int bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
}
// A box of a tensor of four dimensions, the innermost first; what is beside the tensor comes as zeros.
__device__ __forceinline__ void tiled_copy(u32 to, const void* map, int c0, int c1, int c2, int c3, u32 barrier) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(to), "l"(map),
               "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(barrier)
               : "memory");
}

// The same from shared memory to memory; what would lie beside the tensor is left out. Its reads of shared memory are done behind
// wait_stores_read() of the thread that began and committed it, those of kLeft committed groups may be under way; its writes are done
// when the kernel has ended.
__device__ __forceinline__ void tiled_store(const void* map, u32 from, int c0, int c1, int c2, int c3) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(map), "r"(from), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
               : "memory");
}
__device__ __forceinline__ void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
template <int kLeft>
__device__ __forceinline__ void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kLeft) : "memory");
}

__device__ __forceinline__ void prefetch_map(const void* map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }

// Operands whose inner index lies in rows of 128 bytes, swizzled: `address` is a multiple of 1024 and up to 96 bytes.
__device__ __forceinline__ u64 swizzled_operand(u32 address) { return static_cast<u64>(address >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62; }
// Operands as [inner index / 16 bytes][row][16 bytes]: `block_bytes` between neighbours of the first. Rows may begin anywhere.
__device__ __forceinline__ u64 blocked_operand(u32 address, int block_bytes) {
  return static_cast<u64>(address >> 4) | static_cast<u64>(block_bytes >> 4) << 16 | 8ull << 32;
}

__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
// By all warps of a warpgroup: of the registers that its block has a thread keeps, or gets, as many (PTX ISA, setmaxnreg). The kernel's own count is what
// the block's threads have at most.
template <int kRegisters, int kThreads>
__device__ __forceinline__ void take_registers() {
  if constexpr (kRegisters > 65536 / kThreads / 8 * 8) asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
  else if constexpr (kRegisters > 0) asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits until no more than kLeft committed groups are under way.
template <int kLeft>
__device__ __forceinline__ void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}

// A use of metadata behind the products that read its register; no metadata has all bits set.
__device__ __forceinline__ void keep_register(u32 metadata) {
  asm volatile("{\n.reg .pred impossible;\nsetp.eq.u32 impossible, %0, 0xFFFFFFFF;\n@impossible trap;\n}" ::"r"(metadata) : "memory");
}

// Two blocks of 8 x 8 elements of 16 bits as a warp's sums lie in its registers, turned over: lane i gives the address of 16
// bytes, column i % 8 of block i / 8, for i below 16.
__device__ __forceinline__ void store_transposed(u32 address, u32 first, u32 second) {
  asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(address), "r"(first), "r"(second) : "memory");
}

// Threads that share a named barrier, from 1 on; 0 is __syncthreads'.
template <int kThreads>
__device__ __forceinline__ void meet(int barrier) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(kThreads) : "memory");
}

}  // namespace lcnn_device
