// The types of the public face that are defined beside what makes them.
/** @typedef {import('./bench.js').BenchResult} BenchResult */
/** @typedef {import('./cache/cache.js').CacheEntry} CacheEntry */
/** @typedef {import('./cache/cache.js').CacheSpace} CacheSpace */
/** @typedef {import('./chat/fit.js').ContextPolicy} ContextPolicy */
/** @typedef {import('./chat/messages.js').ChatMessage} ChatMessage */
/** @typedef {import('./chat/messages.js').TemplateOptions} TemplateOptions */
/** @typedef {import('./divergence.js').Comparison} Comparison */
/** @typedef {import('./fit.js').Change} Change */
/** @typedef {import('./fit.js').MemoryNeed} MemoryNeed */
/** @typedef {import('./generation.js').FinishReason} FinishReason */
/** @typedef {import('./gguf.js').MetadataValue} MetadataValue */
/** @typedef {import('./gguf.js').TensorInfo} TensorInfo */
/** @typedef {import('./kernels.js').KernelResult} KernelResult */
/** @typedef {import('./measure-options.js').EmbedOptions} EmbedOptions */
/** @typedef {import('./measure-options.js').MeasureOptions} MeasureOptions */
/** @typedef {import('./measure-options.js').MeasureProgress} MeasureProgress */
/** @typedef {import('./measures.js').Perplexity} Perplexity */
/** @template Request, Whole, Chunk @typedef {import('./openai.js').Create<Request, Whole, Chunk>} Create */
/** @typedef {import('./openai.js').Embed} Embed */
/** @typedef {import('./openai.js').OpenAI} OpenAI */
/** @typedef {import('./openai.js').RequestOptions} RequestOptions */
/** @typedef {import('./options.js').BenchOptions} BenchOptions */
/** @typedef {import('./options.js').BenchProgress} BenchProgress */
/** @typedef {import('./options.js').GenerateOptions} GenerateOptions */
/** @typedef {import('./options.js').KernelBenchOptions} KernelBenchOptions */
/** @typedef {import('./options.js').LoadOptions} LoadOptions */
/** @typedef {import('./options.js').LoadProgress} LoadProgress */
/** @typedef {import('./options.js').ModelSource} ModelSource */
/** @typedef {import('./synthetic.js').SyntheticModel} SyntheticModel */
/** @typedef {import('./variants.js').Capabilities} Capabilities */
/** @typedef {import('./variants.js').Feature} Feature */
/** @typedef {import('./variants.js').Variant} Variant */
/** @typedef {import('./plan.js').Plan} Plan */
export {};
