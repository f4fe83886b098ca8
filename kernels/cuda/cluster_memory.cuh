// Shared memory of a cluster of blocks and bulk copies into it: text for NVRTC, behind dictionary_tile.cuh.
//
// Source: PTX ISA, "cp.async.bulk", "mbarrier" and "barrier.cluster".
namespace lcnn_device {

using Barrier = unsigned long long;  // an mbarrier

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
// Where an address of this block's shared memory is in another block's.
__device__ __forceinline__ unsigned address_in_block(const void* pointer, unsigned block) {
  unsigned there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(pointer)), "r"(block));
  return there;
}

// This block's number in its cluster.
__device__ __forceinline__ unsigned cluster_rank() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

__device__ __forceinline__ void store_in_block(float* address, unsigned block, float value) {
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(address_in_block(address, block)), "f"(value) : "memory");
}

// A barrier's phase ends when `arrivals` have come and every byte expected. Other blocks see it behind publish_barriers()
// and the cluster's barrier.
__device__ __forceinline__ void init_barrier(Barrier* barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ __forceinline__ void arrive_expecting(Barrier* barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}
__device__ __forceinline__ void arrive_in_block(Barrier* barrier, unsigned block) {
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(address_in_block(barrier, block)) : "memory");
}
// Until the phase of this parity has ended: 0 the first, 1 the second, 0 the third, ...
__device__ __forceinline__ void wait_barrier(Barrier* barrier, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(shared_address(barrier)), "r"(parity) : "memory");
}

// `bytes`, a multiple of 16, from memory to the same place of every block's shared memory, or of this block's; each block's
// barrier counts what comes to it.
template <int kBlocks>
__device__ __forceinline__ void copy_to_cluster(uint4* to, const void* from, unsigned bytes, Barrier* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(barrier)), "h"(static_cast<u16>((1u << kBlocks) - 1))
               : "memory");
}
__device__ __forceinline__ void copy_to_block(uint4* to, const void* from, unsigned bytes, Barrier* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)), "l"(from),
               "r"(bytes), "r"(shared_address(barrier))
               : "memory");
}

}  // namespace lcnn_device
