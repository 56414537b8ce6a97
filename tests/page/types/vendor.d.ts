// What the page uses of its libraries, for the type checker: html.js is the only module that does.

type Render = (strings: TemplateStringsArray, ...values: any[]) => any;
interface Cell<T> {
  value: T;
}

export function h(type: any, props?: any, ...children: any[]): any;
export function render(tree: any, place: Element): void;
export const Fragment: any;

declare const htm: { bind(create: typeof h): Render };
export default htm;

export function useEffect(effect: () => void | (() => void), inputs?: readonly any[]): void;
export function useLayoutEffect(effect: () => void | (() => void), inputs?: readonly any[]): void;
export function useMemo<T>(make: () => T, inputs?: readonly any[]): T;
export function useRef<T>(initial: T): { current: T };
export function useState<T>(initial: T): [T, (value: T) => void];

export function batch<T>(work: () => T): T;
export function effect(work: () => void): () => void;
export function signal<T>(initial: T): Cell<T>;
export function computed<T>(make: () => T): { readonly value: T };
export function useSignal<T>(initial: T): Cell<T>;
export function useComputed<T>(make: () => T): { readonly value: T };
