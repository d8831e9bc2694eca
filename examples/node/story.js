// Tells a story with the model that comes with halfbyte:
//   node examples/node/story.js "Once upon a time"
import { defaultModel, load } from 'halfbyte';

const prompt = process.argv[2] ?? 'Once upon a time there was';
const model = await load(defaultModel);

process.stdout.write(prompt);
for await (const part of model.stream(prompt, { maxTokens: 200 })) {
  process.stdout.write(part.text);
  if (part.finishReason)
    console.log(`\n\n${part.timings.tokensPerSecond.toFixed(0)} tokens/s, ${part.finishReason}`);
}

await model.dispose();
